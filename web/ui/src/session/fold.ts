import type { EventOf, StoredEvent } from '../api/types';

// What only events say about a session's steps: nothing of it is kept when it is over.

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

export interface LiveStep {
  retryAt: number | null; // when the next attempt starts, by the server's clock in ms; null when none is due
  attempt: number; // the figures' own; 0 without figures
  figures: LiveFigures | null;
}

export type LiveSteps = Readonly<Record<string, LiveStep>>;

export const stepKey = (runId: string, stepId: string): string => `${runId}/${stepId}`;

const FRESH: LiveStep = { retryAt: null, attempt: 0, figures: null };

// Returns the same object when the event changes nothing here.
export function foldLive(live: LiveSteps, event: StoredEvent): LiveSteps {
  const stepId = event.event_type === 'dag_node_status_changed' ? event.data.node_id : event.step_id;
  if (!event.run_id || !stepId) return live;
  const key = stepKey(event.run_id, stepId);
  const before = live[key] ?? FRESH;
  const after = next(before, event);
  return after === before ? live : { ...live, [key]: after };
}

function next(step: LiveStep, event: StoredEvent): LiveStep {
  switch (event.event_type) {
    case 'dag_node_status_changed':
      return event.data.new_status === 'ready' || step.retryAt === null ? step : { ...step, retryAt: null };
    case 'step_retry_backoff':
      return { ...step, retryAt: Date.parse(event.timestamp) + event.data.backoff_ms };
    case 'step_started':
      return step === FRESH ? step : { ...FRESH };
    case 'step_progress':
      return progressed(step, event.data);
    default:
      return step;
  }
}

function progressed(step: LiveStep, data: EventOf<'step_progress'>['data']): LiveStep {
  if (data.attempt < step.attempt) return step; // the event was late
  const before = data.attempt === step.attempt ? step.figures : null;
  const { progress: told, note } = data;
  return {
    ...step,
    attempt: data.attempt,
    figures: {
      progress: told === undefined ? (before?.progress ?? null) : Math.min(1, Math.max(0, told)),
      note: note || (told === undefined ? (before?.note ?? null) : null),
      waiting: data.waiting || null, // absent means it no longer waits
      cpuSeconds: data.cpu_seconds,
      rssBytes: data.rss_bytes,
      readBytes: data.read_bytes,
      writeBytes: data.write_bytes,
      processes: data.processes,
    },
  };
}
