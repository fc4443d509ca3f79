import type { ListFrame } from '@holdfast/client';
import type { Session, SessionList } from '../../api/types';

export type ListChange = Exclude<ListFrame, { event_type: 'sessions' }>;

// The current list, from a snapshot of its newest sessions. If those are all, there is nothing else
// to show; only the server knows the rest of a longer or filtered list.
export function replaceSessions(snapshot: { sessions: Session[]; total: number }, filtered: boolean): { pages: SessionList[]; complete: boolean } {
  const { sessions, total } = snapshot;
  return { pages: [{ sessions, total }], complete: !filtered && sessions.length === total };
}

// Applies one change to the loaded pages. complete is false when only the server
// can say where (or whether) the session belongs.
export function patchSessions(
  pages: SessionList[],
  change: ListChange,
  filtered: boolean,
): { pages: SessionList[]; complete: boolean } {
  const id = change.event_type === 'session_deleted' ? change.data.session_id : change.data.session.id;
  const known = pages.some((page) => page.sessions.some((s) => s.id === id));
  if (change.event_type === 'session_deleted') {
    const { total } = change.data;
    const without = (page: SessionList) => page.sessions.filter((s) => s.id !== id);
    if (total !== undefined && !filtered) return { pages: pages.map((page) => ({ ...page, total, sessions: without(page) })), complete: true };
    // If the session is on a page that is not loaded, only the server can say whether it was counted.
    if (!known) return { pages, complete: pages.reduce((sum, page) => sum + page.sessions.length, 0) >= (pages[0]?.total ?? 0) };
    return { pages: pages.map((page) => ({ ...page, sessions: without(page), total: Math.max(0, page.total - 1) })), complete: true };
  }
  const { session } = change.data;
  if (known) {
    const patched = pages.map((page) => ({ ...page, sessions: page.sessions.map((s) => (s.id === id ? { ...s, ...session } : s)) }));
    return { pages: patched, complete: !filtered };
  }
  if (filtered || change.event_type !== 'session_created' || pages[0] === undefined) return { pages, complete: false };
  const [first, ...rest] = pages;
  return { pages: [{ ...first, sessions: [session, ...first.sessions], total: first.total + 1 }, ...rest], complete: true };
}
