import type { ListFrame } from '@holdfast/client';
import { describe, expect, it } from 'vitest';
import type { Session, SessionList } from '../../api/types';
import { ListFeed } from './listFeed';

const session = (id: string, more: Partial<Session> = {}) =>
  ({ id, name: id, status: 'active', head_seq: 1, created_at: `2026-01-01T00:00:${String(id.charCodeAt(0) - 96).padStart(2, '0')}.000Z`, ...more }) as Session;
const timestamp = '2026-01-01T00:00:00.000Z';
const snapshot = (sessions: Session[], total: number): ListFrame => ({ event_type: 'sessions', timestamp, data: { sessions, total } });
const updated = (one: Session): ListFrame => ({ event_type: 'session_updated', timestamp, data: { session: one } });
const deleted = (id: string): ListFrame => ({ event_type: 'session_deleted', timestamp, data: { session_id: id } });

// A list whose pages are read when the test says so.
function listOf(...rows: Session[]) {
  const list = { pages: undefined as SessionList[] | undefined, reading: true, rereads: 0 };
  const feed = new ListFeed({
    get: () => list.pages,
    put: (pages) => { list.pages = pages; },
    reading: () => list.reading,
    reread: () => { list.rereads += 1; list.reading = true; },
  }, {});
  const read = (...sessions: Session[]) => {
    list.pages = [{ sessions, total: sessions.length }];
    list.reading = false;
  };
  if (rows.length > 0) read(...rows);
  return { feed, list, read, ids: () => list.pages?.flatMap((page) => page.sessions.map((row) => row.id)).join('') };
}

describe('the list', () => {
  it('is read again at its first snapshot, too, if it shows older rows than that holds', () => {
    const { feed, list } = listOf(session('f'), session('d'), session('b'));
    feed.take(snapshot([session('f'), session('d')], 3));
    expect(list.rereads).toBe(1);
  });
  it('is not read again if a snapshot holds all that it shows', () => {
    const { feed, list } = listOf(session('f'), session('d'));
    feed.take(snapshot([session('f'), session('d')], 3));
    feed.take(snapshot([session('f'), session('d'), session('b')], 3));
    expect(list.rereads).toBe(0);
  });
  it('folds what waited before what comes later', () => {
    const { feed, list, read, ids } = listOf();
    feed.take(updated(session('d', { head_seq: 2 })));
    read(session('f'), session('d'));
    feed.take(deleted('d')); // before the page was told that the answer is there
    feed.settle();
    expect([ids(), list.rereads]).toEqual(['f', 0]);
  });
  it('keeps what comes after a snapshot until the pages are read again', () => {
    const { feed, list, read, ids } = listOf(session('f'), session('b'));
    list.reading = true;
    feed.take(snapshot([session('f')], 2));
    feed.take(deleted('b'));
    list.reading = false;
    feed.settle();
    expect([ids(), list.rereads]).toEqual(['fb', 1]);
    read(session('f'), session('b'));
    feed.settle();
    expect(ids()).toBe('f');
  });
});
