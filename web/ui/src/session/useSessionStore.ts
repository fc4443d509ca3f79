import { useEffect, useState, useSyncExternalStore } from 'react';
import { acquire, release } from './following';
import { SessionStore } from './store';
import type { SessionSnapshot } from './store';

// The store of a session, kept following its log while any view uses it.
// Null until the head of the log is known.
export function useSessionStore(id: string, headSeq: number | null): SessionStore | null {
  const [held, setHeld] = useState<{ id: string; store: SessionStore } | null>(null);
  const ready = headSeq !== null;
  useEffect(() => {
    if (!ready) return;
    const entry = acquire(id, headSeq ?? 0);
    setHeld({ id, store: entry.store });
    return () => release(id, entry);
    // The head is read once, when the page opens; the socket carries on from there.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, ready]);
  return held?.id === id ? held.store : null;
}

const IDLE = new SessionStore();

export function useSnapshot(store: SessionStore | null): SessionSnapshot {
  const source = store ?? IDLE;
  return useSyncExternalStore(source.subscribe, source.getSnapshot);
}
