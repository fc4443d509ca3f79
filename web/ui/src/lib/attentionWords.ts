import type { Approval, Attention } from '../api/types';
import { duration } from './format';

export interface Chip {
  key: string;
  kind: string;
  words: string;
  detail: string; // what was found, and where
}

const WORDS: Record<string, string> = {
  network: 'network',
  env: 'changes what is loaded',
  remote_code: 'runs fetched code',
  delete: 'deletes',
  secret: 'secret',
  privilege: 'changes permissions',
  hidden_text: 'hidden characters',
  approves_itself: 'approves itself',
  goes_on_if_fails: 'goes on if it fails',
};

// What deserves a look, as short words followed by the place. secondsLeft is the approval's.
export function chipsOf(attention: readonly Attention[], approval: Approval, secondsLeft: number): Chip[] {
  const chips: Chip[] = [];
  if (approval.on_timeout === 'approve' && approval.status === 'pending') {
    chips.push({ key: 'timeout', kind: 'timeout', words: `approves itself in ${aboutTime(secondsLeft)}`, detail: 'If nobody answers, the answer is yes' });
  }
  for (const [index, { kind, step_id: step, file, found }] of attention.entries()) {
    if (kind === 'more') {
      chips.push({ key: kind, kind, words: `${found ?? 'some'} more are not listed`, detail: '' });
      continue;
    }
    if (kind === 'approves_itself' && step !== undefined && step === approval.step_id) continue; // shown above, with the time
    const named = kind === 'env' ? `sets ${found ?? ''}` : kind === 'secret' && found ? `secret ${found}` : WORDS[kind] ?? kind;
    const place = file ?? (step === approval.step_id ? '' : (step ?? ''));
    chips.push({ key: String(index), kind, words: place === '' ? named : `${named} · ${place}`, detail: [found, place === '' ? '' : `in ${place}`].filter(Boolean).join(' ') });
  }
  return chips;
}

// The first few of too many, but at least one of each kind.
export function foremost(chips: readonly Chip[], most: number): readonly Chip[] {
  if (chips.length <= most) return chips;
  const firsts = chips.filter((chip, index) => chips.findIndex((other) => other.kind === chip.kind) === index);
  return [...firsts, ...chips.filter((chip) => !firsts.includes(chip))].slice(0, most);
}

function aboutTime(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return duration(seconds * 1000);
}
