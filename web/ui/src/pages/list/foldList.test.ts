import { describe, expect, it } from 'vitest';
import type { Session, SessionList } from '../../api/types';
import { foldList, foldSnapshot, matches } from './foldList';
import type { ListChange } from './foldList';

// Sessions a, b, c… were created in this order.
const session = (id: string, more: Partial<Session> = {}) =>
  ({ id, name: id, status: 'active', head_seq: 1, created_at: `2026-01-01T00:00:${String(id.charCodeAt(0) - 96).padStart(2, '0')}.000Z`, ...more }) as Session;
const timestamp = '2026-01-01T00:00:00.000Z';
const created = (one: Session, total: number): ListChange => ({ event_type: 'session_created', timestamp, data: { session: one, total } });
const updated = (one: Session): ListChange => ({ event_type: 'session_updated', timestamp, data: { session: one } });
const deleted = (id: string, total?: number): ListChange => ({ event_type: 'session_deleted', timestamp, data: { session_id: id, ...(total === undefined ? {} : { total }) } });
const all: SessionList[] = [{ sessions: [session('f'), session('d')], total: 2 }];
const some: SessionList[] = [{ sessions: [session('f'), session('d')], total: 70, next_cursor: 'more' }];
const ids = (pages: SessionList[]) => pages.flatMap((page) => page.sessions.map((row) => row.id)).join('');
const NONE = {};

describe('a change to the list of sessions', () => {
  it('puts a new one first, and one that was told late in its place', () => {
    const after = foldList(all, created(session('g'), 3), NONE);
    expect([ids(after), after[0]?.total]).toEqual(['gfd', 3]);
    expect(ids(foldList(all, created(session('e'), 3), NONE))).toBe('fed');
  });
  it('updates one in place, unless what is shown is newer', () => {
    const later = foldList(all, updated(session('d', { status: 'failed', head_seq: 5 })), NONE);
    expect(later[0]?.sessions[1]).toMatchObject({ status: 'failed' });
    expect(foldList(later, updated(session('d', { head_seq: 4 })), NONE)[0]?.sessions[1]).toMatchObject({ status: 'failed' });
  });
  it('takes away what a newer row has no more', () => {
    const before: SessionList[] = [{ sessions: [session('d', { current_step: 'a', expires_at: timestamp })], total: 1 }];
    const row = foldList(before, updated(session('d', { head_seq: 2 })), NONE)[0]?.sessions[0];
    expect([row?.current_step, row?.expires_at]).toEqual([undefined, undefined]);
  });
  it('leaves alone what is on a page that is not loaded', () => {
    expect(foldList(some, updated(session('a')), NONE)).toEqual(some);
    expect(ids(foldList(all, updated(session('a')), NONE))).toBe('fda');
  });
  it('drops a deleted one, and counts one that is on no loaded page', () => {
    const left = foldList(all, deleted('f', 1), NONE);
    expect([ids(left), left[0]?.total]).toEqual(['d', 1]);
    expect(foldList(some, deleted('a', 69), NONE)[0]).toMatchObject({ total: 69 });
  });
});

describe('a filtered list', () => {
  const failed = { status: 'failed' };
  const pages: SessionList[] = [{ sessions: [session('d', failed as Partial<Session>)], total: 1 }];
  it('holds what the server would list', () => {
    expect(matches(session('x', { name: 'Power Spectrum' }), { q: 'spec' })).toBe(true);
    expect(matches(session('x', { task: 'Fit the CURVE' }), { q: 'curve' })).toBe(true);
    expect(matches(session('x'), { q: 'curve' })).toBe(false);
    expect(matches(session('x'), { status: 'active', q: 'X' })).toBe(true);
  });
  it('takes in what comes to match, and lets go what no longer does', () => {
    const more = foldList(pages, updated(session('f', { status: 'failed' })), failed);
    expect([ids(more), more[0]?.total]).toEqual(['fd', 2]);
    const fewer = foldList(more, updated(session('d', { status: 'active' })), failed);
    expect([ids(fewer), fewer[0]?.total]).toEqual(['f', 1]);
    expect(foldList(pages, created(session('g'), 9), failed)).toEqual(pages);
    expect(foldList(pages, deleted('z', 8), failed)).toEqual(pages);
  });
});

describe('a snapshot of the list', () => {
  it('brings what is new and takes what is gone', () => {
    const { pages, whole } = foldSnapshot(all, { sessions: [session('g'), session('d', { name: 'renamed' })], total: 2 }, NONE);
    expect([ids(pages), pages[0]?.total, pages[0]?.sessions[1]?.name, whole]).toEqual(['gd', 2, 'renamed', true]);
  });
  it('says nothing of rows that are older than it', () => {
    const { pages, whole } = foldSnapshot(some, { sessions: [session('g'), session('f')], total: 70 }, NONE);
    expect([ids(pages), whole]).toEqual(['gfd', false]);
  });
  it('is filtered like the list', () => {
    expect(ids(foldSnapshot(all, { sessions: [session('g'), session('f'), session('d')], total: 3 }, { q: 'f' }).pages)).toBe('f');
  });
});
