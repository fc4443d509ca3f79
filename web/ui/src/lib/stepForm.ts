import type { PlanStep, StepEdit } from '../api/types';

// The form in which a person edits one step, and the modifications that it makes.
// Only differences from the step are sent: what is absent stays as it is.

export interface Pair {
  key: string; // for React; never shown
  name: string;
  value: string;
  fixed: boolean; // it is in the plan: its value can be changed, but it cannot be removed
}

export interface StepForm {
  kind: 'run' | 'shell';
  shell: string;
  words: string[];
  timeout: string;
  env: Pair[];
  files: Pair[];
}

const pairs = (of: string, record: Record<string, string> | undefined): Pair[] =>
  Object.entries(record ?? {}).map(([name, value], index) => ({ key: `${of}${index}`, name, value, fixed: true }));

export function formOf(step: PlanStep, files: Record<string, string> | undefined): StepForm {
  return {
    kind: step.run ? 'run' : 'shell',
    shell: step.shell ?? '',
    words: step.run ?? [],
    timeout: step.timeout ?? '',
    env: pairs('e', step.env),
    files: pairs('f', files),
  };
}

// Null when nothing differs.
export function editOf(form: StepForm, step: PlanStep, files: Record<string, string> | undefined): StepEdit | null {
  const edit: StepEdit = {};
  if (form.kind === 'shell' && (form.shell !== (step.shell ?? '') || step.run !== undefined)) edit.shell = form.shell;
  if (form.kind === 'run' && !sameWords(form.words, step.run)) edit.run = form.words;
  if (form.timeout.trim() !== (step.timeout ?? '')) edit.timeout = form.timeout.trim();
  const env = changed(form.env, step.env);
  if (env !== null) edit.env = env;
  const changedFiles = changed(form.files, files);
  if (changedFiles !== null) edit.files = changedFiles;
  return Object.keys(edit).length === 0 ? null : edit;
}

function sameWords(a: string[], b: string[] | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((word, index) => word === b[index]);
}

function changed(list: Pair[], before: Record<string, string> | undefined): Record<string, string> | null {
  const over = list.filter((pair) => pair.name.trim() !== '' && before?.[pair.name.trim()] !== pair.value);
  return over.length === 0 ? null : Object.fromEntries(over.map((pair) => [pair.name.trim(), pair.value]));
}

export interface FormProblems {
  command?: string;
  timeout?: string;
  env?: string;
  files?: string;
}

// Problems that need no server to find, beside the field they are about.
export function problemsOf(form: StepForm, step: PlanStep): FormProblems {
  const problems: FormProblems = {};
  if (form.kind === 'shell' && form.shell.trim() === '') problems.command = 'A step needs a command.';
  if (form.kind === 'run' && (form.words[0] ?? '').trim() === '') problems.command = 'The first word is the program; it cannot be empty.';
  const timeout = form.timeout.trim();
  if (timeout === '' && step.timeout !== undefined) problems.timeout = 'A timeout can be changed here, not taken away.';
  else if (timeout !== '' && durationSeconds(timeout) === null) problems.timeout = 'A duration such as 90s, 30m, 2h or 3d.';
  const env = pairProblem(form.env, 'variable');
  if (env !== null) problems.env = env;
  const files = pairProblem(form.files, 'file');
  if (files !== null) problems.files = files;
  return problems;
}

function pairProblem(list: Pair[], what: string): string | null {
  const names = list.map((pair) => pair.name.trim());
  if (list.some((pair, index) => names[index] === '' && pair.value !== '')) return `A ${what} needs a name.`;
  const twice = names.find((name, index) => name !== '' && names.indexOf(name) !== index);
  return twice === undefined ? null : `“${twice}” appears twice.`;
}

const UNITS: Record<string, number> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

// Seconds of a duration such as 90s, 1h30m, 1.5h or 3d; null when it is not one.
export function durationSeconds(text: string): number | null {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w))+$/.test(text)) return null;
  let seconds = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)/g)) seconds += Number(number) * (UNITS[unit ?? ''] ?? 0);
  return seconds;
}
