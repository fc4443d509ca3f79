import type { Projection, StoredEvent } from '../api/types';
import { foldApprovals, withoutOld, withReopenable } from './foldApprovals';
import { foldRuns } from './foldRuns';
import { foldSession, withRuns } from './foldSession';

// What a session is at a seq: read from the server once, then kept current by its events alone. A slice that an event
// does not touch stays the same object.
export function foldProjection(state: Projection, event: StoredEvent): Projection {
  if (event.seq <= state.seq) return state;
  const runs = foldRuns(state.runs, event);
  const folded = foldSession(state.session, event);
  const session = runs === state.runs ? folded : withRuns(folded, runs);
  const asked = foldApprovals(state.approvals, event);
  const moved = asked !== state.approvals || session.status !== state.session.status || runs.length !== state.runs.length;
  const marked = moved ? withReopenable(asked, session, runs) : asked;
  const approvals = asked.length > state.approvals.length ? withoutOld(marked) : marked; // one that closes stays until then
  return { ...state, seq: event.seq, session, runs, approvals, names: foldNames(state.names, event) };
}

function foldNames(names: Projection['names'], event: StoredEvent): Projection['names'] {
  if (event.event_type !== 'session_forked' || event.data.name === undefined) return names;
  return { ...names, [event.data.session_id]: event.data.name };
}
