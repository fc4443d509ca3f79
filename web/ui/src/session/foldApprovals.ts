import type { Approval, EventOf, Run, Session, StoredEvent } from '../api/types';

// A session's approvals, the newest first: what an event makes of them.
export function foldApprovals(approvals: Approval[], event: StoredEvent): Approval[] {
  switch (event.event_type) {
    case 'approval_requested':
      return approvals.some((known) => known.id === event.data.approval_id) ? approvals : inserted(approvals, requested(event));
    case 'approval_received': {
      const { resolution, actor, feedback, modifications, resolved_at } = event.data;
      return closed(approvals, event.data.approval_id, {
        status: 'resolved', resolution, actor, feedback: feedback || undefined, modifications, resolved_at: resolved_at ?? event.timestamp,
      });
    }
    case 'approval_expired': {
      const { approval_id: id, reason, status, actor, resolved_at } = event.data;
      return closed(approvals, id, { status: status ?? statusOf(reason), actor: actor || undefined, resolved_at: resolved_at ?? event.timestamp });
    }
    case 'approval_extended':
      return moved(approvals, event.data.approval_id, { expires_at: event.data.expires_at });
    case 'approval_escalated':
      return moved(approvals, event.data.approval_id, { expires_at: event.data.expires_at, escalated_at: event.data.escalated_at ?? event.timestamp });
    default:
      return approvals;
  }
}

// How much of the time to answer is left is for a clock to say: here it is 0, see ServerClock.
function requested({ data, session_id = '', run_id = '', step_id, timestamp }: EventOf<'approval_requested'>): Approval {
  const { approval_id: id, approval_type, description, options, context, digest, expires_at, created_at, on_timeout, subject } = data;
  return {
    id, session_id, run_id, step_id: step_id || undefined, approval_type, description, options, context: context as Approval['context'], digest, on_timeout,
    status: 'pending', created_at: created_at ?? timestamp, expires_at, remaining_seconds: 0, subject,
  };
}

// Approvals that were asked at the same moment are in the order of their ids, as the server has them.
function inserted(approvals: Approval[], one: Approval): Approval[] {
  const later = (other: Approval) => other.created_at > one.created_at || (other.created_at === one.created_at && other.id > one.id);
  const at = approvals.findIndex((other) => !later(other));
  return at < 0 ? [...approvals, one] : approvals.toSpliced(at, 0, one);
}

// The first end of an approval is its end. What it was about is not shown again, and may be long: its id says where to
// read it.
function closed(approvals: Approval[], id: string, end: Partial<Approval>): Approval[] {
  return moved(approvals, id, { ...end, remaining_seconds: 0, context: {}, context_truncated: true });
}

const KEPT = 200; // of all; the server has as many in a projection

// The open approvals, those that can be asked again, and the newest of all.
export function withoutOld(approvals: Approval[]): Approval[] {
  if (approvals.length <= KEPT) return approvals;
  const kept = approvals.filter((one, index) => index < KEPT || one.status === 'pending' || one.reopenable === true);
  return kept.length === approvals.length ? approvals : kept;
}

function moved(approvals: Approval[], id: string, change: Partial<Approval>): Approval[] {
  const index = approvals.findIndex((known) => known.id === id);
  const known = approvals[index];
  return known === undefined || known.status !== 'pending' ? approvals : approvals.with(index, { ...known, ...change });
}

// The status behind a reason, in a log from before events told it.
function statusOf(reason: string): Approval['status'] {
  return reason === 'timeout' ? 'expired' : reason === 'plan_changed' ? 'void' : 'cancelled';
}

const BY_STEP = new Set<Approval['approval_type']>(['program_ask', 'tool_call', 'budget']); // the step goes on without an answer

// Marks the approvals that expired, suspended their session and are asked again when it goes on.
export function withReopenable(approvals: Approval[], session: Session, runs: readonly Run[]): Approval[] {
  const latest = runs.at(-1)?.id;
  const asked = new Set<string>(); // what was asked later, since the newest come first
  let same = true;
  const marked = approvals.map((one) => {
    const about = JSON.stringify([one.run_id, one.step_id ?? '', one.approval_type]);
    const open = one.status === 'expired' && session.status === 'suspended' && one.run_id === latest && !asked.has(about)
      && one.on_timeout !== 'reject' && one.on_timeout !== 'approve' && !BY_STEP.has(one.approval_type);
    asked.add(about);
    if ((one.reopenable ?? false) === open) return one;
    same = false;
    return { ...one, reopenable: open ? true : undefined };
  });
  return same ? approvals : marked;
}
