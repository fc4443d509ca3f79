import { useEffect, useSyncExternalStore } from 'react';
import { acquire, followed, onFollowed, release } from './following';
import { SessionStore } from './store';
import type { SessionSnapshot } from './store';

// A session's store, which follows its log while any view uses it. Null until
// the head of the log is known.
export function useSessionStore(id: string, headSeq: number | null): SessionStore | null {
  const ready = headSeq !== null;
  const store = useFollowed(id);
  useEffect(() => {
    if (!ready) return;
    const entry = acquire(id, headSeq ?? 0);
    return () => release(id, entry);
    // The head is read once, when the page opens; the socket carries on from there.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, ready]);
  return ready ? store : null;
}

// The store of a session that some view follows; null when none does.
export function useFollowed(id: string | null): SessionStore | null {
  return useSyncExternalStore(onFollowed, () => (id === null ? null : followed(id)));
}

const IDLE = new SessionStore();

export function useSnapshot(store: SessionStore | null): SessionSnapshot {
  const source = store ?? IDLE;
  return useSyncExternalStore(source.subscribe, source.getSnapshot);
}
