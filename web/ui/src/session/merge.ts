import type { Attempt, Plan, PlanStep, Run, Session, Step, StepStatus } from '../api/types';
import { isLoss } from '../lib/reasons';
import { stepKey } from './fold';
import type { LiveFigures, LiveStep, LiveSteps } from './fold';

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

// A run's steps with what only events say about them. The plan stands in while the run has no steps.
export function mergeSteps(run: Run | null, plan: Plan | null, live: LiveSteps): StepView[] {
  const planned = new Map((plan?.steps ?? []).map((step) => [step.id, step]));
  const steps = run !== null && run.steps.length > 0 ? run.steps : (plan?.steps ?? []).map(awaited);
  return steps.map((step) => viewOf(step, stepKey(run?.id ?? '', step.id), planned.get(step.id), live));
}

const kindOf = (step: PlanStep): Step['kind'] => (step.run ? 'run' : step.shell !== undefined ? 'shell' : 'agent');

// A step of a plan whose run has not begun.
function awaited(step: PlanStep): Step {
  return { id: step.id, title: step.title ?? '', kind: kindOf(step), needs: step.needs ?? [], status: 'pending', attempts: [] };
}

function viewOf(step: Step, key: string, planned: PlanStep | undefined, live: LiveSteps): StepView {
  const reason = step.reason || null;
  const moment = live[key];
  return {
    key,
    id: step.id,
    title: step.title || step.id,
    kind: step.kind,
    needs: step.needs,
    status: step.status,
    reason,
    inherited: step.status === 'succeeded' && reason === INHERITED,
    retryAt: step.status === 'ready' ? (moment?.retryAt ?? null) : null,
    attempts: step.attempts.map((attempt) => attemptOf(attempt, moment)),
    command: commandOf(planned),
  };
}

function attemptOf(attempt: Attempt, live: LiveStep | undefined): AttemptView {
  const running = attempt.status === 'running';
  return {
    number: attempt.number,
    status: attempt.status,
    exitCode: attempt.exit_code ?? null,
    signal: attempt.signal || null,
    reason: attempt.reason || null,
    startedAt: attempt.started_at,
    finishedAt: attempt.finished_at ?? null,
    durationMs: attempt.duration_ms || between(attempt.started_at, attempt.finished_at),
    cpuSeconds: running ? null : attempt.cpu_seconds,
    maxRssBytes: running ? null : attempt.max_rss_bytes,
    readBytes: running ? null : attempt.read_bytes,
    writeBytes: running ? null : attempt.write_bytes,
    host: attempt.host || null,
    live: running && live?.attempt === attempt.number ? live.figures : null,
  };
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
