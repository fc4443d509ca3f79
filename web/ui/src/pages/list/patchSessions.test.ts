import { describe, expect, it } from 'vitest';
import type { Session } from '../../api/types';
import { patchSessions, replaceSessions } from './patchSessions';
import type { ListChange } from './patchSessions';

const session = (id: string, name = id) => ({ id, name, status: 'active' }) as Session;
const timestamp = '2026-01-01T00:00:00.000Z';
const created = (one: Session): ListChange => ({ event_type: 'session_created', timestamp, data: { session: one, total: 3 } });
const updated = (one: Partial<Session>): ListChange => ({ event_type: 'session_updated', timestamp, data: { session: one as Session } });
const deleted = (id: string, total?: number): ListChange => ({ event_type: 'session_deleted', timestamp, data: { session_id: id, ...(total === undefined ? {} : { total }) } });
const pages = [{ sessions: [session('a'), session('b')], total: 2 }];

describe('a change to the list of sessions', () => {
  it('puts a new one first', () => {
    const result = patchSessions(pages, created(session('c')), false);
    expect(result.complete).toBe(true);
    expect(result.pages[0]).toMatchObject({ total: 3, sessions: [{ id: 'c' }, { id: 'a' }, { id: 'b' }] });
  });
  it('updates one in place and drops a deleted one', () => {
    const patched = patchSessions(pages, updated({ id: 'b', status: 'failed' }), false);
    expect(patched.pages[0]?.sessions?.[1]).toMatchObject({ name: 'b', status: 'failed' });
    const left = patchSessions(pages, deleted('a'), false);
    expect(left.pages[0]).toMatchObject({ total: 1, sessions: [{ id: 'b' }] });
  });
  it('leaves it to the server when one was deleted that is on no loaded page, and was counted', () => {
    const some = [{ sessions: [session('a')], total: 70 }];
    expect(patchSessions(some, deleted('z'), false).complete).toBe(false);
    expect(patchSessions(pages, deleted('z'), false)).toEqual({ pages, complete: true });
    expect(patchSessions(some, deleted('z', 69), false)).toMatchObject({ pages: [{ total: 69, sessions: [{ id: 'a' }] }], complete: true });
  });
  it('leaves it to the server when a filter decides what is shown', () => {
    expect(patchSessions(pages, created(session('c')), true).complete).toBe(false);
    expect(patchSessions(pages, updated(session('a')), true).complete).toBe(false);
    expect(patchSessions(pages, updated(session('z')), false).complete).toBe(false);
  });
});

describe('a snapshot of the list', () => {
  it('is the list, when it has all of it', () => {
    expect(replaceSessions({ sessions: [session('x')], total: 1 }, false)).toEqual({ pages: [{ sessions: [session('x')], total: 1 }], complete: true });
  });
  it('leaves it to the server when there is more, or a filter', () => {
    expect(replaceSessions({ sessions: [session('x')], total: 2 }, false).complete).toBe(false);
    expect(replaceSessions({ sessions: [session('x')], total: 1 }, true).complete).toBe(false);
  });
});
