import type { Plan, PlanStep, StepEdit } from '../api/types';

// JSON as a person would lay it out: a list of plain values stays on one line.
export function prettyJSON(value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== 'object' || item === null)) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    return `[\n${value.map((item) => inner + prettyJSON(item, inner)).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  return `{\n${entries.map(([key, item]) => `${inner}${JSON.stringify(key)}: ${prettyJSON(item, inner)}`).join(',\n')}\n${indent}}`;
}

export const planText = (plan: Plan): string => `${prettyJSON(plan)}\n`;

// The plan with one step changed, as the server would change it.
export function editedPlan(plan: Plan, stepId: string, edit: StepEdit): Plan {
  const files = merged(plan.files, edit.files);
  return {
    ...plan,
    steps: plan.steps.map((step) => (step.id === stepId ? editedStep(step, edit) : step)),
    ...(files === undefined ? {} : { files }),
  };
}

export function editedStep(step: PlanStep, edit: StepEdit): PlanStep {
  const next: PlanStep = { ...step };
  if (edit.run !== undefined || edit.shell !== undefined) {
    delete next.run;
    delete next.shell;
    delete next.agent;
    delete next.task;
    if (edit.run !== undefined) next.run = edit.run;
    else next.shell = edit.shell;
  }
  if (edit.timeout !== undefined) next.timeout = edit.timeout;
  const env = merged(step.env, edit.env);
  if (env !== undefined) next.env = env;
  return next;
}

function merged(base?: Record<string, string>, over?: Record<string, string>): Record<string, string> | undefined {
  return over === undefined ? base : { ...base, ...over };
}

export interface Section {
  title: string;
  before: string;
  after: string;
}

// What differs between two plans: the steps one by one, and each file as text.
export function changedSections(before: Plan, after: Plan): Section[] {
  const sections: Section[] = [];
  const add = (title: string, from: string, to: string) => {
    if (from !== to) sections.push({ title, before: from, after: to });
  };
  const old = new Map(before.steps.map((step) => [step.id, step]));
  const kept = new Set(after.steps.map((step) => step.id));
  for (const step of after.steps) add(stepName(step), lines(old.get(step.id)), lines(step));
  for (const step of before.steps) if (!kept.has(step.id)) add(stepName(step), lines(step), '');
  const order = (plan: Plan) => plan.steps.map((step) => step.id).filter((id) => kept.has(id) && old.has(id));
  add('Order of the steps', order(before).join('\n'), order(after).join('\n'));
  for (const path of new Set([...Object.keys(before.files ?? {}), ...Object.keys(after.files ?? {})])) {
    const [from, to] = [before.files?.[path], after.files?.[path]];
    if (from === to) continue;
    add(path, from ?? '', to ?? '');
  }
  return sections;
}

const stepName = (step: PlanStep): string => step.title || step.id;

// A step field by field; a shell text of several lines keeps its lines.
function lines(step: PlanStep | undefined): string {
  if (step === undefined) return '';
  return Object.entries(step)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([key, value]) => {
      if (typeof value === 'string' && value.includes('\n')) return `${key}:\n${value.replace(/\n$/, '').replace(/^/gm, '  ')}`;
      return `${key}: ${typeof value === 'string' ? value : prettyJSON(value)}`;
    })
    .join('\n');
}
