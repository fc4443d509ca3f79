import type { Attempt, EventOf, Run, Step, StoredEvent } from '../api/types';
import { isLoss } from '../lib/reasons';

// A session's runs with their steps and attempts, the first one first: what an event makes of them.
export function foldRuns(runs: Run[], event: StoredEvent): Run[] {
  const { run_id: id } = event;
  if (!id) return runs;
  if (event.event_type === 'workflow_started') return runs.some((run) => run.id === id) ? runs : [...runs, begun(id, event)];
  const index = runs.findIndex((run) => run.id === id);
  const run = runs[index];
  if (run === undefined) return runs;
  const after = foldRun(run, event);
  return after === run ? runs : runs.with(index, after);
}

function begun(id: string, { session_id, timestamp, data }: EventOf<'workflow_started'>): Run {
  const { run_number: number, message, plan_digest } = data;
  return { id, session_id: session_id ?? '', number, status: 'active', steps: [], started_at: timestamp, failed_steps: 0, message, plan_digest };
}

function foldRun(run: Run, event: StoredEvent): Run {
  switch (event.event_type) {
    case 'workflow_state_changed':
      return run.finished_at ? run : { ...run, status: event.data.status };
    case 'workflow_completed':
      return { ...run, status: 'completed', finished_at: event.timestamp };
    case 'workflow_failed':
      return { ...run, status: 'failed', error: event.data.error || undefined, finished_at: event.timestamp };
    case 'workflow_cancelled':
      return { ...run, status: event.data.reason === 'expired' ? 'expired' : 'cancelled', finished_at: event.timestamp };
    case 'plan_proposed':
    case 'plan_updated':
      return { ...run, plan_digest: event.data.digest };
    case 'dag_created':
    case 'dag_updated':
      return withSteps(run, graphSteps(run.steps, event));
    default:
      return withSteps(run, foldSteps(run.steps, event));
  }
}

function withSteps(run: Run, steps: Step[]): Run {
  return steps === run.steps ? run : { ...run, steps, failed_steps: steps.filter((step) => step.status === 'failed').length };
}

// The steps of a graph, with the attempts that they have had.
function graphSteps(before: readonly Step[], { data }: EventOf<'dag_created' | 'dag_updated'>): Step[] {
  return data.nodes.map(({ id, title, kind, status, reason }): Step => {
    const needs = data.edges.filter((edge) => edge.to === id).map((edge) => edge.from);
    return { id, title, kind, needs, status, reason, attempts: before.find((step) => step.id === id)?.attempts ?? [] };
  });
}

function foldSteps(steps: Step[], event: StoredEvent): Step[] {
  const id = event.event_type === 'dag_node_status_changed' ? event.data.node_id : event.step_id;
  const index = steps.findIndex((step) => step.id === id);
  const step = steps[index];
  if (step === undefined) return steps;
  const after = foldStep(step, event);
  return after === step ? steps : steps.with(index, after);
}

function foldStep(step: Step, event: StoredEvent): Step {
  switch (event.event_type) {
    case 'dag_node_status_changed':
      return { ...step, status: event.data.new_status, reason: event.data.reason || undefined };
    case 'step_retry_started':
      return cut(step, event);
    case 'step_started':
      return withAttempt(step, {
        number: event.data.attempt, status: 'running', started_at: event.timestamp, host: event.data.host,
        cpu_seconds: 0, max_rss_bytes: 0, read_bytes: 0, write_bytes: 0, duration_ms: 0,
      });
    case 'step_completed':
      return ended(step, event, { status: 'succeeded', exit_code: event.data.exit_code, reason: undefined });
    case 'step_failed':
      return ended(step, event, {
        status: event.data.status ?? statusOf(event.data.reason), exit_code: event.data.exit_code, signal: event.data.signal || undefined,
        reason: event.data.reason,
      });
    default:
      return step;
  }
}

// The end of an attempt in a log from before events told it.
function statusOf(reason: EventOf<'step_failed'>['data']['reason']): Attempt['status'] {
  return reason === 'cancelled' ? 'cancelled' : isLoss(reason) ? 'lost' : 'failed';
}

function ended(step: Step, { data, timestamp }: EventOf<'step_completed' | 'step_failed'>, change: Partial<Attempt>): Step {
  const attempt = step.attempts.find((known) => known.number === data.attempt);
  if (attempt === undefined) return step;
  const { cpu_seconds, max_rss_bytes, read_bytes, write_bytes, duration_ms } = data;
  return withAttempt(step, { ...attempt, ...change, finished_at: timestamp, cpu_seconds, max_rss_bytes, read_bytes, write_bytes, duration_ms });
}

// An attempt that a lost worker left running is over when the next one begins, also in a log that does not say so itself.
function cut(step: Step, { data, timestamp }: EventOf<'step_retry_started'>): Step {
  const left = (attempt: Attempt) => attempt.number < data.attempt && attempt.status === 'running';
  if (!step.attempts.some(left)) return step;
  const end = { status: isLoss(data.reason) ? 'lost' : 'failed', reason: data.reason, finished_at: timestamp } as const;
  return { ...step, attempts: step.attempts.map((attempt) => (left(attempt) ? { ...attempt, ...end } : attempt)) };
}

function withAttempt(step: Step, attempt: Attempt): Step {
  const others = step.attempts.filter((known) => known.number !== attempt.number);
  return { ...step, attempts: [...others, attempt].sort((a, b) => a.number - b.number) };
}
