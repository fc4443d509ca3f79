import { useEffect, useSyncExternalStore } from 'react';
import { acquire, followed, onFollowed, release } from './following';
import { SessionStore } from './store';
import type { SessionSnapshot } from './store';

// A session's store, which follows its log while any view uses it.
export function useSessionStore(id: string): SessionStore | null {
  const store = useFollowed(id);
  useEffect(() => {
    const entry = acquire(id);
    return () => release(id, entry);
  }, [id]);
  return store;
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
