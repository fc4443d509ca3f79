import type { EventOf, StepStatus, StoredEvent } from '../api/types';
import { isLoss } from '../lib/reasons';

// What a session's stored events say about its steps, folded in order.
// Every value carries the seq that set it, so that a view can tell whether an
// answer read over REST is older or newer.

// What an attempt uses at a moment, and the progress it reports.
export interface LiveFigures {
  progress: number | null; // 0 to 1; null until the program reports it
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
  told: boolean; // the status came from dag_node_status_changed, which overrides what attempts suggest
  reason: string | null; // for that status
  retryAt: number | null; // when the next attempt starts, by the server's clock in ms; null when none is due
  attempts: AttemptFold[];
}

export type StepFolds = Readonly<Record<string, StepFold>>;

export const stepKey = (runId: string, stepId: string): string => `${runId}/${stepId}`;

const FRESH: StepFold = { seq: 0, status: null, told: false, reason: null, retryAt: null, attempts: [] };

// Returns the same object when the event says nothing about a step.
export function foldStep(folds: StepFolds, event: StoredEvent): StepFolds {
  if (event.event_type === 'dag_updated') return foldGraph(folds, event);
  const stepId = event.event_type === 'dag_node_status_changed' ? event.data.node_id : event.step_id;
  if (!event.run_id || !stepId) return folds;
  const key = stepKey(event.run_id, stepId);
  const before = folds[key] ?? FRESH;
  const after = next(before, event);
  if (after === before) return folds;
  // Momentary figures say nothing about the status, so they do not make it newer than REST's.
  const seq = event.event_type === 'step_progress' ? before.seq : event.seq;
  return { ...folds, [key]: { ...after, seq } };
}

// A run's graph after an edit: steps that it no longer has are forgotten.
function foldGraph(folds: StepFolds, event: EventOf<'dag_updated'>): StepFolds {
  if (!event.run_id) return folds;
  const prefix = stepKey(event.run_id, '');
  const after: Record<string, StepFold> = Object.fromEntries(Object.entries(folds).filter(([key]) => !key.startsWith(prefix)));
  for (const { id, status } of event.data.nodes) {
    const key = stepKey(event.run_id, id);
    const before = folds[key] ?? FRESH;
    after[key] = { ...before, seq: event.seq, status, told: true, reason: before.status === status ? before.reason : null };
  }
  return after;
}

function next(step: StepFold, event: StoredEvent): StepFold {
  switch (event.event_type) {
    case 'dag_node_status_changed': {
      const { new_status: status, reason } = event.data;
      return { ...step, status, told: true, reason: reason || null, retryAt: status === 'ready' ? step.retryAt : null };
    }
    case 'step_retry_backoff':
      return { ...step, retryAt: Date.parse(event.timestamp) + event.data.backoff_ms };
    case 'step_started':
      return withAttempt(suggest({ ...step, retryAt: null }, 'running'), event.data.attempt, {
        status: 'running',
        startedAt: event.timestamp,
        host: event.data.host || null,
      });
    case 'step_progress':
      return progressed(step, event.data);
    case 'step_completed':
      return withAttempt(suggest(step, 'succeeded'), event.data.attempt, { status: 'succeeded', ...ending(event), exitCode: event.data.exit_code });
    case 'step_failed': {
      const { attempt, reason, exit_code: exitCode = null, signal } = event.data;
      return withAttempt(suggest(step, 'failed'), attempt, {
        ...ending(event),
        status: reason === 'cancelled' ? 'cancelled' : isLoss(reason) ? 'lost' : 'failed',
        exitCode,
        signal: signal || null,
        reason,
      });
    }
    case 'step_retry_started':
      return retried(step, event);
    default:
      return step;
  }
}

function suggest(step: StepFold, status: StepStatus): StepFold {
  return step.told ? step : { ...step, status };
}

function progressed(step: StepFold, data: EventOf<'step_progress'>['data']): StepFold {
  const attempt = step.attempts.find((known) => known.number === data.attempt);
  if (attempt !== undefined && attempt.status !== 'running') return step; // the event was late
  const before = attempt?.live;
  const { progress: told, note } = data;
  return withAttempt(step, data.attempt, {
    live: {
      progress: told === undefined ? (before?.progress ?? null) : Math.min(1, Math.max(0, told)),
      note: note || (told === undefined ? (before?.note ?? null) : null),
      waiting: data.waiting || null, // absent means it no longer waits
      cpuSeconds: data.cpu_seconds,
      rssBytes: data.rss_bytes,
      readBytes: data.read_bytes,
      writeBytes: data.write_bytes,
      processes: data.processes,
    },
  });
}

// An attempt that was cut by a lost worker ends when the next one starts.
function retried(step: StepFold, { data, timestamp }: EventOf<'step_retry_started'>): StepFold {
  const attempts = step.attempts.map((attempt): AttemptFold => {
    if (attempt.number >= data.attempt || attempt.status !== 'running') return attempt;
    return {
      ...attempt,
      status: isLoss(data.reason) ? 'lost' : 'failed',
      finishedAt: timestamp,
      reason: attempt.reason ?? data.reason,
      live: null,
    };
  });
  return withAttempt(suggest({ ...step, attempts, retryAt: null }, 'running'), data.attempt, { status: 'running' });
}

function ending({ data, timestamp }: EventOf<'step_completed' | 'step_failed'>): Partial<AttemptFold> {
  return {
    finishedAt: timestamp,
    durationMs: data.duration_ms,
    cpuSeconds: data.cpu_seconds,
    maxRssBytes: data.max_rss_bytes,
    readBytes: data.read_bytes,
    writeBytes: data.write_bytes,
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
