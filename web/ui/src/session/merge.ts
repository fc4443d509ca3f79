import type { Attempt, Plan, PlanStep, Run, Session, Step, StepStatus } from '../api/types';
import { isLoss } from '../lib/reasons';
import { stepKey } from './fold';
import type { AttemptFold, LiveFigures, StepFolds } from './fold';

export interface AttemptView {
  number: number;
  status: string;
  exitCode: number | null;
  signal: string | null;
  reason: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  durationMs: number | null;
  cpuSeconds: number | null;
  maxRssBytes: number | null;
  readBytes: number | null;
  writeBytes: number | null;
  host: string | null;
  live: LiveFigures | null; // while it runs
}

export interface StepView {
  key: string;
  id: string;
  title: string;
  kind: string;
  needs: string[];
  status: StepStatus;
  reason: string | null;
  inherited: boolean; // it finished in the source of this fork
  retryAt: number | null; // when its next attempt starts, by the server's clock in ms
  attempts: AttemptView[];
  command: string | null;
}

// The command of a step as a person would type it.
export function commandOf(step: PlanStep | undefined): string | null {
  if (step === undefined) return null;
  if (step.run) return step.run.map(quote).join(' ');
  if (step.shell !== undefined) return step.shell;
  if (step.agent !== undefined) return `${step.agent}: ${step.task ?? ''}`;
  return null;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

// The server's reason for a step that a fork did not have to run.
const INHERITED = 'finished in the session that this one was forked from';

// A run's steps: what REST said when this tab had seen baseSeq events, with
// everything that happened since on top. planSeq is the event that the plan came
// with: if it is newer than REST, that plan decides which steps there are.
export function mergeSteps(run: Run | null, plan: Plan | null, folds: StepFolds, baseSeq: number, planSeq = 0): StepView[] {
  const planned = new Map((plan?.steps ?? []).map((step) => [step.id, step]));
  const known = new Map((run?.steps ?? []).map((step) => [step.id, step]));
  const view = (step: Step) => fromRest(step, run?.id ?? '', planned.get(step.id), folds, baseSeq);
  if (known.size > 0 && (plan === null || planSeq <= baseSeq)) return [...known.values()].map(view);
  return (plan?.steps ?? []).map((step) => {
    const rest = known.get(step.id);
    if (rest === undefined) return fromPlan(run?.id ?? '', step, folds);
    return { ...view(rest), title: step.title || step.id, kind: kindOf(step), needs: step.needs ?? [] };
  });
}

function fromRest(step: Step, runId: string, planned: PlanStep | undefined, folds: StepFolds, baseSeq: number): StepView {
  const key = stepKey(runId, step.id);
  const fold = folds[key];
  const newer = fold !== undefined && fold.seq > baseSeq;
  const told = newer && fold.status !== null;
  const status = told ? fold.status ?? step.status : step.status;
  const reason = (told && fold.told ? fold.reason : step.reason) || null;
  return {
    key,
    id: step.id,
    title: step.title || step.id,
    kind: step.kind,
    needs: step.needs ?? [],
    status,
    reason,
    inherited: status === 'succeeded' && reason === INHERITED,
    retryAt: status === 'ready' ? (fold?.retryAt ?? null) : null,
    attempts: mergeAttempts(step.attempts ?? [], fold?.attempts ?? [], newer),
    command: commandOf(planned),
  };
}

const kindOf = (step: PlanStep): string => (step.run ? 'run' : step.shell !== undefined ? 'shell' : 'agent');

function fromPlan(runId: string, step: PlanStep, folds: StepFolds): StepView {
  const key = stepKey(runId, step.id);
  const fold = folds[key];
  const status = fold?.status ?? 'pending';
  return {
    key,
    id: step.id,
    title: step.title || step.id,
    kind: kindOf(step),
    needs: step.needs ?? [],
    status,
    reason: fold?.reason ?? null,
    inherited: status === 'succeeded' && fold?.reason === INHERITED,
    retryAt: status === 'ready' ? (fold?.retryAt ?? null) : null,
    attempts: (fold?.attempts ?? []).map(fromFold),
    command: commandOf(step),
  };
}

function mergeAttempts(rest: Attempt[], folded: AttemptFold[], newer: boolean): AttemptView[] {
  const views = new Map<number, AttemptView>();
  for (const attempt of folded) views.set(attempt.number, fromFold(attempt));
  for (const attempt of rest) {
    const fold = views.get(attempt.number);
    const known: AttemptView = {
      number: attempt.number,
      status: attempt.status,
      exitCode: attempt.exit_code ?? null,
      signal: attempt.signal || null,
      reason: attempt.reason || fold?.reason || null,
      startedAt: attempt.started_at ?? fold?.startedAt ?? null,
      finishedAt: attempt.finished_at ?? null,
      durationMs: fold?.durationMs ?? (attempt.duration_ms || between(attempt.started_at, attempt.finished_at)),
      cpuSeconds: attempt.cpu_seconds ?? null,
      maxRssBytes: attempt.max_rss_bytes ?? null,
      readBytes: attempt.read_bytes ?? null,
      writeBytes: attempt.write_bytes ?? null,
      host: attempt.host || null,
      live: attempt.status === 'running' ? (fold?.live ?? null) : null,
    };
    views.set(attempt.number, newer && fold !== undefined ? filled(fold, known) : known);
  }
  return [...views.values()].sort((a, b) => a.number - b.number);
}

// What the events say, completed by what only REST says.
function filled(told: AttemptView, known: AttemptView): AttemptView {
  const running = told.status === 'running';
  return {
    ...told,
    startedAt: told.startedAt ?? known.startedAt,
    host: told.host ?? known.host,
    cpuSeconds: running ? null : (told.cpuSeconds ?? known.cpuSeconds),
    maxRssBytes: running ? null : (told.maxRssBytes ?? known.maxRssBytes),
    readBytes: running ? null : (told.readBytes ?? known.readBytes),
    writeBytes: running ? null : (told.writeBytes ?? known.writeBytes),
    durationMs: told.durationMs ?? known.durationMs,
  };
}

function fromFold(fold: AttemptFold): AttemptView {
  return { ...fold, durationMs: fold.durationMs ?? between(fold.startedAt, fold.finishedAt) };
}

export function between(from?: string | null, to?: string | null): number | null {
  if (!from || !to) return null;
  const ms = Date.parse(to) - Date.parse(from);
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

// Whether an attempt ended because what ran it was lost, not by itself.
export function wasLost(attempt: AttemptView): boolean {
  return attempt.status === 'lost' || isLoss(attempt.reason);
}

// A step's progress as its program reports it; null if it reports none or is not running.
export function progressOf(step: StepView): number | null {
  return step.status === 'running' || step.status === 'frozen' ? (step.attempts.at(-1)?.live?.progress ?? null) : null;
}

// A run's progress: each step counts the same, a running one by the progress it reports.
export function runProgress(steps: readonly StepView[]): { done: number; share: number } {
  const over = steps.filter((step) => ['succeeded', 'skipped', 'failed', 'cancelled'].includes(step.status)).length;
  const under = steps.reduce((sum, step) => sum + (progressOf(step) ?? 0), 0);
  return { done: over, share: steps.length === 0 ? 0 : (over + under) / steps.length };
}

export interface StatusView {
  status: Session['status'];
  phase: Session['phase'];
}

export function mergeStatus(session: Session, live: { seq: number; status: string; phase: string } | null): StatusView {
  if (live === null || live.seq <= session.head_seq) return { status: session.status, phase: session.phase };
  return {
    status: (live.status || session.status) as Session['status'],
    phase: (live.phase || session.phase) as Session['phase'],
  };
}
