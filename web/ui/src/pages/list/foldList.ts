import type { ListFrame } from '@holdfast/client';
import type { Session, SessionList } from '../../api/types';
import { foldSession } from '../../session/foldSession';

// The loaded pages of a list of sessions, the newest first: what a change makes of them. A session that belongs after
// the last loaded row is on a page that is not loaded.

export type ListChange = Exclude<ListFrame, { event_type: 'sessions' }>;

export interface ListFilter {
  q?: string | undefined;
  status?: string | undefined;
}

// Whether the server would list a session under this filter.
export function matches(session: Session, { q, status }: ListFilter): boolean {
  if (status !== undefined && session.status !== status) return false;
  if (q === undefined) return true;
  const part = q.toLowerCase();
  return session.name.toLowerCase().includes(part) || (session.task ?? '').toLowerCase().includes(part);
}

export function foldList(pages: SessionList[], change: ListChange, filter: ListFilter): SessionList[] {
  if (change.event_type === 'session_deleted') {
    const { session_id: id, total } = change.data;
    const known = find(pages, id) !== undefined;
    const left = known ? without(pages, id) : pages;
    return total === undefined || isFiltered(filter) ? counted(left, known ? -1 : 0) : withTotal(left, total);
  }
  const known = find(pages, change.data.session.id);
  if (known === undefined) {
    const { session } = change.data;
    const put = matches(session, filter) ? inserted(pages, session) : null;
    if (change.event_type === 'session_created' && !isFiltered(filter)) return withTotal(put ?? pages, Math.max(change.data.total ?? 0, shownIn(put ?? pages)));
    return put === null ? pages : counted(put, isFiltered(filter) ? 1 : 0);
  }
  const after = foldSession(known, change);
  if (!matches(after, filter)) return counted(without(pages, after.id), -1);
  return pages.map((page) => ({ ...page, sessions: page.sessions.map((row) => (row.id === after.id ? after : row)) }));
}

// The newest sessions of all, after changes may have been missed. whole is false when rows are shown that are older
// than those: what became of them only the server can say.
export function foldSnapshot(pages: SessionList[], snapshot: { sessions: Session[]; total: number }, filter: ListFilter): { pages: SessionList[]; whole: boolean } {
  const { sessions, total } = snapshot;
  const oldest = sessions.length < total ? sessions.at(-1) : undefined;
  const covered = (row: Session) => oldest === undefined || !isAfter(row, oldest);
  const there = new Set(sessions.map((session) => session.id));
  let after = pages;
  for (const row of pages.flatMap((page) => page.sessions)) {
    if (covered(row) && !there.has(row.id)) after = counted(without(after, row.id), -1);
  }
  const whole = pages.every((page) => page.sessions.every(covered));
  after = sessions.toReversed().reduce((so, session) => foldList(so, { event_type: 'session_updated', timestamp: '', data: { session } }, filter), after);
  return { pages: isFiltered(filter) ? after : withTotal(after, total), whole };
}

const isFiltered = ({ q, status }: ListFilter): boolean => q !== undefined || status !== undefined;
const find = (pages: SessionList[], id: string) => pages.flatMap((page) => page.sessions).find((row) => row.id === id);
const shownIn = (pages: SessionList[]): number => pages.reduce((sum, page) => sum + page.sessions.length, 0);
const without = (pages: SessionList[], id: string) => pages.map((page) => ({ ...page, sessions: page.sessions.filter((row) => row.id !== id) }));
const withTotal = (pages: SessionList[], total: number) => pages.map((page) => ({ ...page, total }));
const counted = (pages: SessionList[], more: number) => (more === 0 ? pages : pages.map((page) => ({ ...page, total: Math.max(0, page.total + more) })));
const isAfter = (row: Session, other: Session): boolean => row.created_at < other.created_at || (row.created_at === other.created_at && row.id < other.id);

// Null when the session's place is on a page that is not loaded.
function inserted(pages: SessionList[], session: Session): SessionList[] | null {
  for (const [number, page] of pages.entries()) {
    const at = page.sessions.findIndex((row) => isAfter(row, session));
    if (at >= 0) return pages.with(number, { ...page, sessions: page.sessions.toSpliced(at, 0, session) });
  }
  const last = pages.at(-1);
  if (last === undefined || last.next_cursor) return null;
  return pages.with(-1, { ...last, sessions: [...last.sessions, session] });
}
