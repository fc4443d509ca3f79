import type { Plan, PlanStep, StepAsks } from '../api/types';
import { prettyJSON } from './planText';

// Everything an approval binds, laid out for reading: each step with all its fields, each file
// with its text. Long parts are folded until somebody opens them; nothing is left out.

export const FOLD_LINES = 60;
export const FOLD_CHARS = 6_000;
export const FOLD_STEPS = 8;
export const FOLDED_LINES = 15; // lines shown of a folded text
const FOLDED_CHARS = 1_500;

export interface Fold {
  id: string;
  what: string; // such as "tidy.sh (2,310 lines)"
  text: string; // the folded text
}

export const linesOf = (text: string): string[] => (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n');

export const isLong = (text: string): boolean => text.length > FOLD_CHARS || linesOf(text).length > FOLD_LINES;

// The beginning of a long text.
export function beginning(text: string): string {
  return linesOf(text).slice(0, FOLDED_LINES).join('\n').slice(0, FOLDED_CHARS);
}

export function sizeOf(text: string): string {
  const lines = linesOf(text).length;
  return lines > 1 ? `${lines.toLocaleString('en')} lines` : `${text.length.toLocaleString('en')} characters`;
}

export interface Field {
  name: string;
  text: string;
  mono: boolean;
}

// A step field by field, with the default for those that are not set. A field that this page
// does not know is shown as it is: it is bound, too. The server says when the step asks, and what
// happens when nobody answers, since that also depends on the session.
export function fieldsOf(step: PlanStep, asks?: StepAsks): Field[] {
  const { run, shell, agent, task, needs, timeout, retries, env, network, memory, cpu, on_timeout, on_error, ...rest } = step;
  const fields: Field[] = [];
  const add = (name: string, text: string, mono = false) => fields.push({ name, text, mono });
  if (run) add('Program and arguments', run.map(quoted).join(' '), true);
  if (shell !== undefined) add('Shell command', shell, true);
  if (agent !== undefined) add('Agent', `${agent}: ${task ?? ''}`);
  const variables = Object.entries(env ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (variables.length > 0) add('Environment', variables.map(([name, value]) => `${name}=${quoted(value)}`).join('\n'), true);
  if ((needs ?? []).length > 0) add('After', (needs ?? []).join(', '));
  add('Network', networkWords(network));
  add('Time', timeout ? `at most ${timeout}` : 'no limit');
  add('Memory, CPU', [memory ? `at most ${memory}` : 'no limit on memory', cpu ? `at most ${cpu} cores` : 'no limit on cores'].join(', '));
  add('If it fails', [retries ? `tried again ${retries} times at most` : 'not tried again', ERRORS[asks?.failed ? 'ask' : (on_error ?? 'fail')] ?? on_error ?? ''].join(', then '));
  if (asks?.first) add('Asks first', ON_TIMEOUT[asks.on_timeout] ?? asks.on_timeout);
  else if (asks?.failed) add('Asks when it has failed', FAILED_ON_TIMEOUT[asks.on_timeout] ?? ON_TIMEOUT[asks.on_timeout] ?? asks.on_timeout);
  else if (on_timeout !== undefined) add('If asked, and no answer', ON_TIMEOUT[on_timeout] ?? on_timeout);
  for (const [name, value] of without(rest, ['id', 'title', 'approval'])) add(name, typeof value === 'string' ? value : prettyJSON(value), true);
  return fields;
}

function networkWords(network: PlanStep['network']): string {
  if (network === undefined || network === false) return 'off';
  if (network === true) return 'allowed, everything outside the host';
  return `allowed: ${(network.allow ?? []).join(', ')}`;
}

const ERRORS: Record<string, string> = { fail: 'the run fails', ask: 'somebody is asked', continue: 'the run goes on without it' };
const ON_TIMEOUT: Record<string, string> = {
  suspend: 'nobody answers: the session is suspended',
  reject: 'nobody answers: it is rejected',
  approve: 'nobody answers: it runs',
  escalate: 'nobody answers: it is escalated',
};
const FAILED_ON_TIMEOUT: Record<string, string> = { reject: 'nobody answers: the run is aborted', approve: 'nobody answers: the step is skipped' };

export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

const without = (value: object, names: readonly string[]): [string, unknown][] => Object.entries(value).filter(([name]) => !names.includes(name));

// Fields of a plan beside its steps and files.
export function othersOf(plan: Plan): Field[] {
  return without(plan, ['steps', 'files']).map(([name, value]) => ({ name, text: typeof value === 'string' ? value : prettyJSON(value), mono: true }));
}

export const filesOf = (plan: Plan): [string, string][] => Object.entries(plan.files ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));

// What must be opened before the whole plan is on the page.
export function foldsOf(plan: Plan): Fold[] {
  const folds: Fold[] = [];
  const long = (id: string, what: string, text: string) => {
    if (isLong(text)) folds.push({ id, what: `${what} (${sizeOf(text)})`, text });
  };
  for (const step of plan.steps) for (const field of fieldsOf(step).filter(({ mono }) => mono)) long(fieldId(step.id, field.name), `${field.name} of ${step.title || step.id}`, field.text);
  for (const field of othersOf(plan)) long(fieldId('', field.name), field.name, field.text);
  if (plan.steps.length > FOLD_STEPS) {
    const rest = plan.steps.slice(FOLD_STEPS);
    folds.push({ id: STEPS_ID, what: `${rest.length} more ${rest.length === 1 ? 'step' : 'steps'}`, text: JSON.stringify(rest) });
  }
  for (const [path, text] of filesOf(plan)) long(fileId(path), path, text);
  return folds;
}

export const STEPS_ID = 'steps';
export const fieldId = (stepId: string, name: string): string => `step/${stepId}/${name}`;
export const fileId = (path: string): string => `file/${path}`;
