import type { StoredEvent, StepStatus } from '../api/types';
import { isLoss } from '../lib/reasons';

// What the stored events of a session say about its steps, folded in order.
// Every value carries the seq that set it, so that a view can tell whether an
// answer read over REST is older or newer.

// What an attempt uses at a moment, and how far it says to have come.
export interface LiveFigures {
  progress: number | null; // 0 to 1; null until the program has told
  note: string | null;
  waiting: string | null; // what the step waits for on its host before it starts or goes on
  cpuSeconds: number;
  rssBytes: number; // of all its processes together
  readBytes: number;
  writeBytes: number;
  processes: number;
}

export interface AttemptFold {
  number: number;
  status: 'running' | 'succeeded' | 'failed' | 'cancelled' | 'lost';
  startedAt: string | null;
  finishedAt: string | null;
  exitCode: number | null;
  signal: string | null;
  reason: string | null;
  durationMs: number | null;
  cpuSeconds: number | null;
  maxRssBytes: number | null;
  readBytes: number | null;
  writeBytes: number | null;
  host: string | null;
  live: LiveFigures | null; // while it runs
}

export interface StepFold {
  seq: number;
  status: StepStatus | null;
  told: boolean; // the status came from dag_node_status_changed, which outranks what attempts suggest
  reason: string | null; // of that status
  retryAt: number | null; // when the next attempt starts, by the server's clock in ms; null when none is due
  attempts: AttemptFold[];
}

export type StepFolds = Readonly<Record<string, StepFold>>;

export const stepKey = (runId: string, stepId: string): string => `${runId}/${stepId}`;

const STEP_STATUSES: readonly string[] = [
  'pending', 'ready', 'awaiting_approval', 'running', 'frozen', 'succeeded', 'failed', 'skipped', 'cancelled',
];

export function isStepStatus(value: unknown): value is StepStatus {
  return typeof value === 'string' && STEP_STATUSES.includes(value);
}

const num = (value: unknown): number | null => (typeof value === 'number' ? value : null);
const str = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

const FRESH: StepFold = { seq: 0, status: null, told: false, reason: null, retryAt: null, attempts: [] };

// Returns the same object when the event says nothing about a step.
export function foldStep(folds: StepFolds, event: StoredEvent): StepFolds {
  const data = event.data ?? {};
  if (event.event_type === 'dag_updated') return foldGraph(folds, event, data['nodes']);
  const stepId = event.step_id ?? str(data['node_id']) ?? str(data['step_id']);
  if (!event.run_id || stepId === null) return folds;
  const key = stepKey(event.run_id, stepId);
  const before = folds[key] ?? FRESH;
  const after = next(before, event, data);
  if (after === before) return folds;
  // Figures of the moment say nothing about the status: they do not make what is known newer than REST.
  const seq = event.event_type === 'step_progress' ? before.seq : event.seq;
  return { ...folds, [key]: { ...after, seq } };
}

// The graph of a run as it is after an edit: steps that it has no longer are forgotten.
function foldGraph(folds: StepFolds, event: StoredEvent, nodes: unknown): StepFolds {
  if (!event.run_id || !Array.isArray(nodes)) return folds;
  const prefix = stepKey(event.run_id, '');
  const after: Record<string, StepFold> = Object.fromEntries(Object.entries(folds).filter(([key]) => !key.startsWith(prefix)));
  for (const node of nodes as { id?: unknown; status?: unknown }[]) {
    const id = str(node.id);
    if (id === null) continue;
    const key = stepKey(event.run_id, id);
    const before = folds[key] ?? FRESH;
    const known = isStepStatus(node.status);
    const same = known && before.status === node.status;
    after[key] = {
      ...before,
      seq: event.seq,
      status: known ? (node.status as StepStatus) : before.status,
      told: known || before.told,
      reason: same ? before.reason : null,
    };
  }
  return after;
}

function next(step: StepFold, event: StoredEvent, data: Record<string, unknown>): StepFold {
  const number = num(data['attempt']) ?? Math.max(1, step.attempts.length);
  switch (event.event_type) {
    case 'dag_node_status_changed': {
      const status = data['new_status'];
      if (!isStepStatus(status)) return step;
      return { ...step, status, told: true, reason: str(data['reason']), retryAt: status === 'ready' ? step.retryAt : null };
    }
    case 'step_retry_backoff': {
      const wait = num(data['backoff_ms']);
      return wait === null ? step : { ...step, retryAt: Date.parse(event.timestamp) + wait };
    }
    case 'step_started':
      return withAttempt(suggest({ ...step, retryAt: null }, 'running'), number, {
        status: 'running',
        startedAt: event.timestamp,
        host: str(data['host']),
      });
    case 'step_progress':
      return progressed(step, number, data);
    case 'step_completed':
      return withAttempt(suggest(step, 'succeeded'), number, { status: 'succeeded', ...ending(event, data) });
    case 'step_failed':
      return withAttempt(suggest(step, 'failed'), number, {
        ...ending(event, data),
        status: data['reason'] === 'cancelled' ? 'cancelled' : isLoss(str(data['reason'])) ? 'lost' : 'failed',
      });
    case 'step_retry_started':
      return retried(step, number, event, str(data['reason']) ?? 'retry');
    default:
      return step;
  }
}

function suggest(step: StepFold, status: StepStatus): StepFold {
  return step.told ? step : { ...step, status };
}

function progressed(step: StepFold, number: number, data: Record<string, unknown>): StepFold {
  const attempt = step.attempts.find((known) => known.number === number);
  if (attempt !== undefined && attempt.status !== 'running') return step; // it was late
  const before = attempt?.live;
  const told = num(data['progress']);
  return withAttempt(step, number, {
    live: {
      progress: told === null ? (before?.progress ?? null) : Math.min(1, Math.max(0, told)),
      note: str(data['note']) ?? (told === null ? (before?.note ?? null) : null),
      waiting: str(data['waiting']), // it does not wait any more once nothing is said
      cpuSeconds: num(data['cpu_seconds']) ?? 0,
      rssBytes: num(data['rss_bytes']) ?? 0,
      readBytes: num(data['read_bytes']) ?? 0,
      writeBytes: num(data['write_bytes']) ?? 0,
      processes: num(data['processes']) ?? 0,
    },
  });
}

// An attempt that was cut by a lost worker ends when the next one starts.
function retried(step: StepFold, number: number, event: StoredEvent, reason: string): StepFold {
  const attempts = step.attempts.map((attempt): AttemptFold => {
    if (attempt.number >= number || attempt.status !== 'running') return attempt;
    return {
      ...attempt,
      status: isLoss(reason) ? 'lost' : 'failed',
      finishedAt: event.timestamp,
      reason: attempt.reason ?? reason,
      live: null,
    };
  });
  return withAttempt(suggest({ ...step, attempts, retryAt: null }, 'running'), number, { status: 'running' });
}

function ending(event: StoredEvent, data: Record<string, unknown>): Partial<AttemptFold> {
  return {
    finishedAt: event.timestamp,
    exitCode: num(data['exit_code']),
    signal: str(data['signal']),
    reason: str(data['reason']),
    durationMs: num(data['duration_ms']),
    cpuSeconds: num(data['cpu_seconds']),
    maxRssBytes: num(data['max_rss_bytes']),
    readBytes: num(data['read_bytes']),
    writeBytes: num(data['write_bytes']),
    live: null,
  };
}

function withAttempt(step: StepFold, number: number, change: Partial<AttemptFold>): StepFold {
  const index = step.attempts.findIndex((attempt) => attempt.number === number);
  const fresh: AttemptFold = {
    number, status: 'running', startedAt: null, finishedAt: null, exitCode: null, signal: null,
    reason: null, durationMs: null, cpuSeconds: null, maxRssBytes: null,
    readBytes: null, writeBytes: null, host: null, live: null,
  };
  const attempts = [...step.attempts];
  if (index >= 0) attempts[index] = { ...(attempts[index] ?? fresh), ...change };
  else attempts.push({ ...fresh, ...change });
  return { ...step, attempts };
}
