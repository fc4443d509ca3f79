import type { Subscription } from '@holdfast/client';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { listEvents } from '../api/endpoints';
import { isTransient } from '../api/client';
import { live } from '../app/live';
import { stepKey } from './fold';
import { SessionStore } from './store';
import { PROBE_EVENTS, SMALL_LOG_EVENTS, tailSince } from './tail';
import type { SessionSnapshot } from './store';

const KEEP_MS = 60_000;

// Everything that is small and tells the story: all types but output, and the
// figures of each second, of which the newest come with the tail.
const STORY_TYPES = [
  'workflow_started', 'workflow_state_changed', 'workflow_paused', 'workflow_resumed', 'workflow_completed',
  'workflow_failed', 'workflow_cancelled', 'plan_proposed', 'plan_updated', 'step_started', 'step_reattached',
  'step_completed', 'step_failed', 'step_retry_started', 'step_retry_backoff', 'step_retry_succeeded',
  'step_retry_exhausted', 'dag_created', 'dag_updated', 'dag_node_status_changed', 'agent_message',
  'approval_requested', 'approval_received', 'approval_extended', 'approval_escalated', 'approval_expired', 'cost_update',
  'file_created', 'file_updated', 'session_forked', 'session_renamed',
];

interface Entry {
  store: SessionStore;
  users: number;
  stop: AbortController;
  subscription: Subscription | null;
  dropTimer: ReturnType<typeof setTimeout> | null;
}

const entries = new Map<string, Entry>();

function acquire(id: string, headSeq: number): Entry {
  let entry = entries.get(id);
  if (entry === undefined) {
    entry = { store: new SessionStore(), users: 0, stop: new AbortController(), subscription: null, dropTimer: null };
    entries.set(id, entry);
    void follow(id, headSeq, entry);
  }
  if (entry.dropTimer !== null) clearTimeout(entry.dropTimer);
  entry.dropTimer = null;
  entry.users += 1;
  return entry;
}

function release(id: string, entry: Entry): void {
  entry.users -= 1;
  if (entry.users > 0) return;
  entry.dropTimer = setTimeout(() => {
    entry.stop.abort();
    entry.subscription?.close();
    if (entries.get(id) === entry) entries.delete(id);
  }, KEEP_MS);
}

async function follow(id: string, headSeq: number, entry: Entry): Promise<void> {
  const { store } = entry;
  // Of a long log the older output stays on the server; all that tells the story is read.
  const since = headSeq > SMALL_LOG_EVENTS ? await findTail(id, headSeq, entry) : 0;
  if (since > 0) await readStory(id, since, entry);
  if (entry.stop.signal.aborted) return;
  if (store.lastSeq >= headSeq) store.markLoaded();
  entry.subscription = live.subscribe(id, since, {
    onEvent: (event) => {
      store.apply({ ...event, timestamp: event.timestamp ?? '', data: event.data ?? {} });
      if (event.seq >= headSeq) store.markLoaded();
    },
  });
}

async function findTail(id: string, headSeq: number, entry: Entry): Promise<number> {
  try {
    const { events } = await listEvents(id, { since: headSeq - PROBE_EVENTS, until: headSeq }, entry.stop.signal);
    const chars = events.reduce((sum, event) => sum + (typeof event.data['text'] === 'string' ? event.data['text'].length : 0), 0);
    return tailSince(headSeq, events.length, chars);
  } catch {
    return 0; // the whole log is right too, only slower
  }
}

async function readStory(id: string, until: number, entry: Entry): Promise<void> {
  let since = 0;
  while (!entry.stop.signal.aborted) {
    try {
      const page = await listEvents(id, { since, until, types: STORY_TYPES }, entry.stop.signal);
      for (const event of page.events) {
        entry.store.apply(event);
        if (event.event_type === 'step_started') entry.store.output.markPartial(stepKey(event.run_id ?? '', event.step_id ?? ''));
      }
      if (page.next_since === undefined) return;
      since = page.next_since;
    } catch (error) {
      if (!isTransient(error)) return; // the live tail is still worth showing
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

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
