import type { EventOf, StoredEvent } from '../api/types';
import { bytes, duration, percent } from '../lib/format';
import { reasonWords } from '../lib/reasons';

// The log as a list for reading: every event is a row, but consecutive output of
// one step is a single row, so that a chatty step does not bury the rest. An
// attempt's progress is also one row, which shows the latest.

export interface TimelineRow {
  firstSeq: number;
  lastSeq: number;
  type: StoredEvent['event_type'];
  timestamp: string;
  stepId: string | null;
  runId: string | null;
  event: StoredEvent | null; // the latest; null for output, whose text is not kept here
  count: number;
  chars: number; // of output; 0 for other events
}

export function appendToTimeline(rows: TimelineRow[], event: StoredEvent): void {
  const chars = event.event_type === 'output' ? event.data.text.length : 0;
  const last = rows.at(-1);
  if (event.event_type === 'step_progress') {
    for (let at = rows.length - 1; at >= Math.max(0, rows.length - LOOK_BACK); at--) {
      const row = rows[at];
      if (row === undefined || !continues(row, event)) continue;
      rows[at] = { ...row, lastSeq: event.seq, count: row.count + 1, event };
      return;
    }
  }
  if (event.event_type === 'output' && last?.type === 'output' && last.stepId === (event.step_id ?? null) && last.runId === (event.run_id ?? null)) {
    rows[rows.length - 1] = { ...last, lastSeq: event.seq, count: last.count + 1, chars: last.chars + chars };
    return;
  }
  rows.push({
    firstSeq: event.seq,
    lastSeq: event.seq,
    type: event.event_type,
    timestamp: event.timestamp,
    stepId: event.step_id ?? null,
    runId: event.run_id ?? null,
    event: event.event_type === 'output' ? null : event,
    count: 1,
    chars,
  });
}

// An attempt that is quiet for this many rows gets a new row for its progress.
const LOOK_BACK = 500;

function continues(row: TimelineRow, event: EventOf<'step_progress'>): boolean {
  return row.event?.event_type === 'step_progress' && row.stepId === (event.step_id ?? null) && row.runId === (event.run_id ?? null)
    && row.event.data.attempt === event.data.attempt;
}

const by = (actor: string | undefined): string => (actor ? `by ${actor}` : '');
const words = (...parts: (string | undefined)[]): string => parts.filter(Boolean).join(' ');
const listed = (...parts: (string | undefined)[]): string => parts.filter(Boolean).join(', ');

// One line about a row, for a reader who knows the event types.
export function describeRow(row: TimelineRow): string {
  if (row.event === null) return `${row.count === 1 ? '1 chunk' : `${row.count} chunks`}, ${row.chars.toLocaleString('en')} characters`;
  return describeEvent(row.event);
}

function describeEvent(event: StoredEvent): string {
  switch (event.event_type) {
    case 'workflow_state_changed':
      return listed(event.data.status, event.data.phase);
    case 'dag_node_status_changed':
      return listed(`${event.data.old_status || 'new'} → ${event.data.new_status}`, event.data.reason);
    case 'dag_created':
    case 'dag_updated':
      return event.data.nodes.length === 1 ? '1 step' : `${event.data.nodes.length} steps`;
    case 'plan_updated':
      return words(event.step_id ? `step ${event.step_id} edited` : 'the plan was edited', by(event.data.actor));
    case 'workflow_started':
      return listed(`run ${event.data.run_number}`, event.data.message_number ? `answers message ${event.data.message_number}` : '');
    case 'workflow_paused':
    case 'workflow_cancelled':
      return words(event.data.reason, by(event.data.actor));
    case 'workflow_resumed':
      return by(event.data.actor);
    case 'workflow_failed':
      return event.data.error;
    case 'step_started':
      return words(`attempt ${event.data.attempt}`, event.data.host ? `on ${event.data.host}` : '');
    case 'step_progress':
      return describeProgress(event.data);
    case 'step_reattached':
      return `a worker on ${event.data.host} came back to it; nothing was lost`;
    case 'step_completed':
      return `exit ${event.data.exit_code}`;
    case 'step_failed': {
      const { exit_code: code, signal, reason, message } = event.data;
      return listed(code === undefined ? '' : `exit ${code}`, signal, failureWords(reason), message);
    }
    case 'step_retry_started':
      return `attempt ${event.data.attempt}${event.data.reason === 'retry' ? '' : `: ${reasonWords(event.data.reason)}`}`;
    case 'step_retry_backoff':
      return `attempt ${event.data.attempt} in ${duration(event.data.backoff_ms)}`;
    case 'step_retry_exhausted':
      return `${event.data.attempts} attempts failed`;
    case 'agent_message':
      return words(event.data.number ? `${event.data.number}.` : '', event.data.actor || event.data.agent, `“${event.data.message}”`);
    case 'session_forked':
      return words(`${event.data.direction} ${event.data.session_id.slice(0, 8)}`, event.data.step_id ? `at ${event.data.step_id}` : '');
    case 'session_renamed':
      return `“${event.data.name}”`;
    case 'approval_requested':
      return event.data.description || event.data.approval_type;
    case 'approval_received':
      return words(event.data.resolution, by(event.data.actor), event.data.feedback ? `“${event.data.feedback}”` : '');
    case 'approval_extended':
      return listed(`by ${duration(event.data.seconds * 1000)}`, by(event.data.actor));
    case 'approval_escalated':
      return 'nobody answered in time';
    case 'approval_expired':
      return listed(event.data.reason, event.data.on_timeout ? `on timeout: ${event.data.on_timeout}` : '');
    case 'file_created':
    case 'file_updated':
      return event.data.path;
    default:
      return '';
  }
}

// The exit code or signal already says these.
const failureWords = (reason: EventOf<'step_failed'>['data']['reason']): string => (reason === 'exit' || reason === 'signal' ? '' : reasonWords(reason));

function describeProgress(d: EventOf<'step_progress'>['data']): string {
  return [
    d.progress === undefined ? '' : percent(d.progress),
    d.note,
    d.waiting,
    `cpu ${duration(d.cpu_seconds * 1000)}`,
    d.rss_bytes > 0 ? bytes(d.rss_bytes) : '',
    d.processes === 1 ? '1 process' : `${d.processes} processes`,
  ].filter(Boolean).join(' · ');
}
