import type { ListFrame } from '@holdfast/client';
import type { Run, Session, StoredEvent } from '../api/types';

// A session, in the list and on its own page: what an event of its log, or a change of the list, makes of it.
export function foldSession(session: Session, change: StoredEvent | Exclude<ListFrame, { event_type: 'sessions' }>): Session {
  switch (change.event_type) {
    case 'session_created':
    case 'session_updated':
      return newer(session, change.data.session);
    case 'session_deleted':
      return session;
    default:
      return seen(foldEvent(session, change), change);
  }
}

// The list sends whole rows: a field that one lacks is gone. One that was read before what is shown is no news.
function newer(session: Session, row: Session): Session {
  return row.head_seq < session.head_seq ? session : row;
}

// Output and progress come many times a second and leave the session as it is, its head_seq too: how far a page is its
// projection's seq says.
function seen(session: Session, event: StoredEvent): Session {
  if (event.seq <= session.head_seq || event.event_type === 'output' || event.event_type === 'step_progress') return session;
  return { ...session, head_seq: event.seq, updated_at: event.timestamp };
}

function foldEvent(session: Session, event: StoredEvent): Session {
  switch (event.event_type) {
    case 'workflow_state_changed': {
      const { status, phase, expires_at } = event.data;
      return put(session, { status, phase, expires_at });
    }
    case 'workflow_started':
      return event.data.message_number === undefined ? session : put(session, { queued_messages: Math.max(0, session.queued_messages - 1) });
    case 'agent_message':
      return event.data.number === undefined ? session : put(session, { queued_messages: session.queued_messages + 1 });
    case 'message_dropped':
      return put(session, { queued_messages: Math.max(0, session.queued_messages - 1) });
    case 'plan_proposed':
    case 'plan_updated':
      return put(session, { plan: event.data.plan });
    case 'session_renamed':
      return put(session, { name: event.data.name, version: event.data.version ?? session.version + 1 });
    case 'session_forked': {
      const { direction, session_id: other } = event.data;
      if (direction === 'from') return put(session, { forked_from: other });
      return session.forks.includes(other) ? session : put(session, { forks: [...session.forks, other] });
    }
    default:
      return session;
  }
}

const put = (session: Session, change: Partial<Session>): Session => ({ ...session, ...change });

// What of a session its runs decide.
export function withRuns(session: Session, runs: readonly Run[]): Session {
  const latest = runs.at(-1);
  const current = currentStep(latest);
  const failed = latest?.failed_steps ?? 0;
  const steps = runs.reduce((sum, run) => sum + run.steps.length, 0);
  const { totals } = session;
  const same = (session.current_step ?? '') === current && session.failed_steps === failed && totals.runs === runs.length && totals.steps === steps;
  if (same) return session;
  return { ...session, current_step: current === '' ? undefined : current, failed_steps: failed, totals: { ...totals, runs: runs.length, steps } };
}

// The step that a person would look at: the first running one, else the first that waits for an answer.
function currentStep(run: Run | undefined): string {
  const running = run?.steps.find((step) => step.status === 'running' || step.status === 'frozen');
  return (running ?? run?.steps.find((step) => step.status === 'awaiting_approval'))?.id ?? '';
}
