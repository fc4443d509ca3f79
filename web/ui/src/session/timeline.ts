import type { StoredEvent } from '../api/types';
import { bytes, duration, percent } from '../lib/format';
import { reasonWords } from '../lib/reasons';

// The log as a list for reading: every event a row, a run of output chunks of
// one step joined into a single row so that a chatty step does not bury the rest.
// The progress of an attempt is one row, too, which tells the newest.

export interface TimelineRow {
  firstSeq: number;
  lastSeq: number;
  type: string;
  timestamp: string;
  stepId: string | null;
  runId: string | null;
  data: Record<string, unknown>;
  count: number;
  chars: number; // of output; 0 for other events
}

export function appendToTimeline(rows: TimelineRow[], event: StoredEvent): void {
  const data = event.data ?? {};
  const isOutput = event.event_type === 'output';
  const chars = isOutput && typeof data['text'] === 'string' ? data['text'].length : 0;
  const last = rows.at(-1);
  if (event.event_type === 'step_progress') {
    for (let at = rows.length - 1; at >= Math.max(0, rows.length - LOOK_BACK); at--) {
      const row = rows[at];
      if (row === undefined || !continues(row, event)) continue;
      rows[at] = { ...row, lastSeq: event.seq, count: row.count + 1, data };
      return;
    }
  }
  if (isOutput && last?.type === 'output' && last.stepId === (event.step_id ?? null) && last.runId === (event.run_id ?? null)) {
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
    data: isOutput ? {} : data,
    count: 1,
    chars,
  });
}

// An attempt that is quiet for this many rows gets a new row for its progress.
const LOOK_BACK = 500;

function continues(row: TimelineRow, event: StoredEvent): boolean {
  return row.type === event.event_type && row.stepId === (event.step_id ?? null) && row.runId === (event.run_id ?? null)
    && row.data['attempt'] === event.data?.['attempt'];
}

const text = (value: unknown): string => (value === undefined || value === null ? '' : String(value));

// One line about a row, for a reader who knows the event types.
export function describeRow(row: TimelineRow): string {
  const d = row.data;
  switch (row.type) {
    case 'output':
      return `${row.count === 1 ? '1 chunk' : `${row.count} chunks`}, ${row.chars.toLocaleString('en')} characters`;
    case 'workflow_state_changed':
      return [text(d['status']), text(d['phase'])].filter(Boolean).join(', ');
    case 'dag_node_status_changed':
      return [`${text(d['old_status']) || 'new'} → ${text(d['new_status'])}`, text(d['reason'])].filter(Boolean).join(', ');
    case 'dag_created':
    case 'dag_updated':
      return Array.isArray(d['nodes']) ? (d['nodes'].length === 1 ? '1 step' : `${d['nodes'].length} steps`) : '';
    case 'plan_updated':
      return [row.stepId ? `step ${row.stepId} edited` : 'the plan was edited', d['actor'] ? `by ${text(d['actor'])}` : ''].filter(Boolean).join(' ');
    case 'workflow_started':
      return [`run ${text(d['run_number'])}`, d['message_number'] ? `answers message ${text(d['message_number'])}` : ''].filter(Boolean).join(', ');
    case 'step_retry_backoff':
      return `attempt ${text(d['attempt'])} in ${duration(Number(d['backoff_ms']))}`;
    case 'step_retry_exhausted':
      return `${text(d['attempts'])} attempts failed`;
    case 'agent_message':
      return [d['number'] ? `${text(d['number'])}.` : '', text(d['actor']) || text(d['agent']), `“${text(d['message'])}”`].filter(Boolean).join(' ');
    case 'session_forked':
      return [`${d['direction'] === 'from' ? 'from' : 'to'} ${text(d['session_id']).slice(0, 8)}`, d['step_id'] ? `at ${text(d['step_id'])}` : ''].filter(Boolean).join(' ');
    case 'session_renamed':
      return `“${text(d['name'])}”`;
    case 'approval_extended':
      return [`by ${duration(Number(d['seconds']) * 1000)}`, d['actor'] ? `by ${text(d['actor'])}` : ''].filter(Boolean).join(', ');
    case 'approval_escalated':
      return 'nobody answered in time';
    case 'step_started':
      return [`attempt ${text(d['attempt']) || '1'}`, d['host'] ? `on ${text(d['host'])}` : ''].filter(Boolean).join(' ');
    case 'step_progress':
      return describeProgress(d);
    case 'step_reattached':
      return `a worker${d['host'] ? ` on ${text(d['host'])}` : ''} came back to it; nothing was lost`;
    case 'step_completed':
      return `exit ${text(d['exit_code'])}`;
    case 'step_failed':
      return [d['exit_code'] !== undefined && d['exit_code'] !== null ? `exit ${text(d['exit_code'])}` : '', text(d['signal']), failureWords(text(d['reason'])), text(d['message'])]
        .filter(Boolean)
        .join(', ');
    case 'step_retry_started':
      return `attempt ${text(d['attempt'])}${d['reason'] && d['reason'] !== 'retry' ? `: ${reasonWords(text(d['reason']))}` : ''}`;
    case 'approval_requested':
      return text(d['description']) || text(d['approval_type']);
    case 'approval_received':
      return [text(d['resolution']), d['actor'] ? `by ${text(d['actor'])}` : '', d['feedback'] ? `“${text(d['feedback'])}”` : '']
        .filter(Boolean)
        .join(' ');
    case 'approval_expired':
      return [text(d['reason']), d['on_timeout'] ? `on timeout: ${text(d['on_timeout'])}` : ''].filter(Boolean).join(', ');
    case 'file_created':
    case 'file_updated':
      return text(d['path']);
    case 'workflow_failed':
      return text(d['error']);
    default:
      return [text(d['reason']), d['actor'] ? `by ${text(d['actor'])}` : '', text(d['message'])].filter(Boolean).join(' ');
  }
}

// The exit code or the signal says these.
const failureWords = (reason: string): string => (reason === 'exit' || reason === 'signal' || reason === '' ? '' : reasonWords(reason));

function describeProgress(d: Record<string, unknown>): string {
  const n = (value: unknown): number => (typeof value === 'number' ? value : 0);
  return [
    typeof d['progress'] === 'number' ? percent(d['progress']) : '',
    text(d['note']),
    text(d['waiting']),
    `cpu ${duration(n(d['cpu_seconds']) * 1000)}`,
    n(d['rss_bytes']) > 0 ? bytes(n(d['rss_bytes'])) : '',
    n(d['processes']) === 1 ? '1 process' : `${n(d['processes'])} processes`,
  ].filter(Boolean).join(' · ');
}
