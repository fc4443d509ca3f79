import type { Config, Message, Run } from '../api/types';
import { isOver } from '../lib/statuses';
import type { StatusView } from './merge';

// What the user said to the session, in order, with the outcome.

export interface MessageView {
  id: number;
  number: number | null; // null if it is not a user's message
  who: string;
  content: string;
  status: 'queued' | 'taken' | 'dropped' | null;
  run: number | null; // the run that answers it, or will
  runId: string | null; // null until there is one
  inherited: boolean; // said in the session that this one was forked from
  at: string;
}

export function conversationOf(messages: readonly Message[], runs: readonly Run[]): MessageView[] {
  const numbers = new Map(runs.map((run) => [run.id, run.number]));
  let next = runs.reduce((last, run) => Math.max(last, run.number), 0);
  return messages.map((message) => {
    const status = message.status ?? null;
    const runId = message.run_id && numbers.has(message.run_id) ? message.run_id : null;
    if (status === 'queued') next += 1;
    return {
      id: message.id,
      number: message.role === 'user' ? (message.number ?? null) : null,
      who: message.actor || message.agent || message.role,
      content: message.content,
      status,
      run: status === 'queued' ? next : runId === null ? null : (numbers.get(runId) ?? null),
      runId,
      inherited: message.role === 'user' && status !== 'queued' && status !== 'dropped' && runId === null,
      at: message.created_at,
    };
  });
}

export interface ComposerView {
  enabled: boolean;
  does: string; // what a message does now, or why none is possible
  urgent: boolean; // it stops something
}

export const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_QUEUED = 100;

// What a message will do in this state of the session.
export function composerOf(status: StatusView, config: Config, runNumber: number, queued: number): ComposerView {
  const can = (does: string, urgent = false): ComposerView => ({ enabled: true, does, urgent });
  const cannot = (does: string): ComposerView => ({ enabled: false, does, urgent: false });
  const next = `run ${runNumber + queued + 1}`;
  if (status.status === 'expired') return cannot('The session has expired. Fork it to go on.');
  if (queued >= MAX_QUEUED) return cannot(`${MAX_QUEUED} messages are already waiting, which is the limit.`);
  const busy = !isOver(status.status);
  if (!busy) return can(queued === 0 ? `Starts ${next}` : `Waits for ${next}`);
  const now = runNumber === 0 ? 'the first run' : `run ${runNumber}`;
  switch (config.when_busy ?? 'enqueue') {
    case 'reject':
      return cannot(`${capital(now)} is under way, and this session takes no messages meanwhile.`);
    case 'interrupt':
      return can(queued === 0 ? `Stops ${now} and starts ${next}` : `Waits for ${next}; ${now} is being stopped`, queued === 0);
    default:
      return can(status.status === 'suspended' ? `Waits for ${next}: ${now} is suspended` : `Waits for ${next}: ${now} goes on first`);
  }
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

// Why this text cannot be sent; null when it can.
export function messageProblem(text: string): string | null {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_MESSAGE_BYTES) return `The message has ${bytes.toLocaleString('en')} bytes; at most ${MAX_MESSAGE_BYTES.toLocaleString('en')} can be sent.`;
  return text.includes('\u0000') ? 'The message contains a NUL character.' : null;
}
