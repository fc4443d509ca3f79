import type { Session, SessionList } from '../../api/types';

export interface ListChange {
  type: string; // session_created, session_updated, session_deleted
  session: Partial<Session> & { id: string };
  total?: number; // of all sessions after it, where the server says so
}

// The list as it is now, of which the newest are told: that is all there is to show when it is all
// there is. Of a longer list, or one that a filter chose, only the server can say the rest.
export function replaceSessions(snapshot: { sessions: Session[]; total: number }, filtered: boolean): { pages: SessionList[]; complete: boolean } {
  const { sessions, total } = snapshot;
  return { pages: [{ sessions, total }], complete: !filtered && sessions.length === total };
}

// Puts one change into the pages held. complete is false when only the server
// can say where (or whether) the session belongs.
export function patchSessions(
  pages: SessionList[],
  change: ListChange,
  filtered: boolean,
): { pages: SessionList[]; complete: boolean } {
  const { session } = change;
  const known = pages.some((page) => page.sessions.some((s) => s.id === session.id));
  if (change.type === 'session_deleted') {
    const { total } = change;
    if (total !== undefined && !filtered) {
      return { pages: pages.map((page) => ({ ...page, total, sessions: page.sessions.filter((s) => s.id !== session.id) })), complete: true };
    }
    // Of one on a page that is not loaded, only the server can say whether it was counted.
    if (!known) return { pages, complete: pages.reduce((sum, page) => sum + page.sessions.length, 0) >= (pages[0]?.total ?? 0) };
    return {
      pages: pages.map((page) => ({
        ...page,
        sessions: page.sessions.filter((s) => s.id !== session.id),
        total: Math.max(0, page.total - 1),
      })),
      complete: true,
    };
  }
  if (known) {
    const patched = pages.map((page) => ({
      ...page,
      sessions: page.sessions.map((s) => (s.id === session.id ? { ...s, ...session } : s)),
    }));
    return { pages: patched, complete: !filtered };
  }
  const whole = typeof session.name === 'string' && typeof session.status === 'string';
  if (filtered || change.type !== 'session_created' || !whole || pages[0] === undefined) return { pages, complete: false };
  const [first, ...rest] = pages;
  return {
    pages: [
      {
        ...first,
        sessions: [session as Session, ...first.sessions],
        total: first.total + 1,
      },
      ...rest,
    ],
    complete: true,
  };
}
