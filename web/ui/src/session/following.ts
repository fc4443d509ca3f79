import type { Subscription } from '@holdfast/client';
import { ApiError, isTransient, UnreachableError } from '../api/client';
import { getProjection, getSession, listEvents } from '../api/endpoints';
import type { Projection } from '../api/types';
import { live } from '../app/live';
import { stepKey } from './fold';
import { findTail, readStory } from './opening';
import type { Read } from './opening';
import { SessionStore } from './store';
import { MAX_TAIL_EVENTS, PROBE_EVENTS } from './tail';

// Sessions being viewed now or up to a minute ago: their logs are followed, so going back to
// one shows it at once.

const KEEP_MS = 60_000;
const LEAVE_MS = 500; // a page that only changes its view has not left

export interface Entry {
  store: SessionStore;
  users: number;
  stop: AbortController;
  subscription: Subscription | null;
  reading: Promise<boolean> | null; // of the projection: one at a time
  before: Set<string>; // the approvals on the screen, in the order they appeared
  timer: ReturnType<typeof setTimeout> | null;
}

const entries = new Map<string, Entry>();
const watchers = new Set<() => void>();

// A followed session's store. It is replaced when the log is rewound.
export const followed = (id: string): SessionStore | null => entries.get(id)?.store ?? null;

export function onFollowed(listener: () => void): () => void {
  watchers.add(listener);
  return () => watchers.delete(listener);
}

function tellWatchers(): void {
  for (const listener of watchers) listener();
}

export function acquire(id: string): Entry {
  let entry = entries.get(id);
  if (entry === undefined) {
    entry = { store: new SessionStore(), users: 0, stop: new AbortController(), subscription: null, reading: null, before: new Set(), timer: null };
    entries.set(id, entry);
    void open(id, entry);
    queueMicrotask(tellWatchers);
  }
  if (entry.timer !== null) clearTimeout(entry.timer);
  entry.timer = null;
  entry.users += 1;
  entry.subscription?.present(true);
  return entry;
}

export function release(id: string, entry: Entry): void {
  entry.users -= 1;
  if (entry.users > 0) return;
  entry.timer = setTimeout(() => {
    entry.subscription?.present(false);
    entry.timer = setTimeout(() => {
      entry.stop.abort();
      entry.subscription?.close();
      if (entries.get(id) === entry) entries.delete(id);
      tellWatchers();
    }, KEEP_MS);
  }, LEAVE_MS);
}

// Notes that an approval appeared on the screen, or left it.
export function looksAt(sessionId: string, approvalId: string, visible: boolean): void {
  const entry = entries.get(sessionId);
  if (entry === undefined) return;
  if (visible) entry.before.add(approvalId);
  else entry.before.delete(approvalId);
  tellApproval(entry);
}

function tellApproval(entry: Entry): void {
  const [first] = entry.before;
  entry.subscription?.viewing(document.visibilityState === 'visible' ? (first ?? null) : null);
}

if (typeof document !== 'undefined') {
  document.addEventListener('visibilitychange', () => {
    for (const entry of entries.values()) tellApproval(entry);
  });
}

// Reads what could not be read before.
export function retry(id: string): void {
  const entry = entries.get(id);
  if (entry === undefined || !entry.store.failed || entry.reading !== null) return;
  entry.store.fail(null);
  if (entry.subscription === null) void open(id, entry);
  else void reload(id, entry);
}

// One request reads what the session is, and, if the log is long, some more read the newest part of that. What comes later
// the events tell. So begins a page, and so it goes on after it slept through much of the log.
async function open(id: string, entry: Entry): Promise<void> {
  const { store, stop } = entry;
  if (!(await reload(id, entry)) || stop.signal.aborted) return;
  const headSeq = store.projectedSeq;
  const since = await skipTo(id, headSeq, entry);
  if (stop.signal.aborted) return;
  if (store.lastSeq >= headSeq) store.markLoaded();
  follow(id, since, headSeq, entry);
}

function follow(id: string, since: number, headSeq: number, entry: Entry): void {
  const { store } = entry;
  entry.subscription = live.subscribe(
    id,
    since,
    {
      onEvent: (event) => {
        store.apply(event);
        if (event.seq >= headSeq) store.markLoaded();
      },
      onHole: (hole) => {
        store.addHole(hole);
        if (store.missingUntil > 0) void reload(id, entry); // only the server can say what they did
        if (hole.to >= headSeq) store.markLoaded();
      },
      onHead: (head) => {
        store.setHead(head);
        hearClock(store);
      },
      onRewound: (head) => rewind(id, head, entry),
      onDeleted: (at) => store.setDeleted(at),
      onRefused: (error) => {
        if (error.code === 'not_found') store.setDeleted('');
      },
      onSubscribed: (head) => {
        store.setHead(head);
        hearClock(store);
        if (head - Math.max(since, store.lastSeq) > MAX_TAIL_EVENTS) jump(id, entry);
      },
      onPresence: (presence) => store.setPresence(presence),
    },
    { presence: entry.users > 0 },
  );
  tellApproval(entry);
}

function hearClock(store: SessionStore): void {
  const [now, connection] = [live.serverTime(), live.identity?.connectionId];
  if (now !== null && connection !== undefined) store.hear(now, connection);
}

// Reads the projection, and returns whether it could be read. Whoever asks while it is read gets the same answer.
function reload(id: string, entry: Entry): Promise<boolean> {
  if (entry.reading !== null) return entry.reading;
  const reading = readProjection(id, entry).finally(() => {
    if (entry.reading === reading) entry.reading = null;
  });
  entry.reading = reading;
  return reading;
}

// Reads it again while a hole that was found meanwhile reaches beyond what was read.
async function readProjection(id: string, { store, stop }: Entry): Promise<boolean> {
  store.reloads();
  try {
    let wanted: number;
    do {
      wanted = store.missingUntil;
      store.load(await insist(() => askProjection(id, stop.signal), stop.signal));
    } while (store.missingUntil > wanted);
    if (store.missingUntil > 0) throw new Error(`The server answered with the session as it was before event ${store.missingUntil}.`);
    return true;
  } catch (error) {
    if (!stop.signal.aborted) store.fail(error);
    return false;
  }
}

// While a server is upgraded, an instance of the release before may answer, which has no projections: then another is
// asked. Its 404 looks like that about a session that does not exist, so the session itself tells which it is.
async function askProjection(id: string, signal: AbortSignal): Promise<Projection> {
  try {
    return await getProjection(id, signal);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    await getSession(id, signal);
    throw new UnreachableError();
  }
}

// The log ends before what this page has seen, as after restoring a backup: the page starts over.
function rewind(id: string, head: number, entry: Entry): void {
  entry.subscription = null;
  entry.reading = null;
  entry.store = new SessionStore(undefined, { seen: entry.store.lastSeq, head });
  tellWatchers();
  void open(id, entry);
}

// A page that slept through much of a log opens it again instead of reading all of it.
function jump(id: string, entry: Entry): void {
  entry.subscription?.close();
  entry.subscription = null;
  void open(id, entry);
}

// Reads the newest story between the store's last event and the tail, and returns where the tail begins. A long log's
// older output stays on the server, and so does its older story.
async function skipTo(id: string, head: number, entry: Entry): Promise<number> {
  const { store } = entry;
  const read = patient(id, entry.stop.signal);
  const known = store.lastSeq;
  const since = await findTail(read, known, head).catch(() => Math.max(known, head - PROBE_EVENTS));
  if (since > known) {
    const story = await readStory(read, known, since).catch(() => ({ events: [], since }));
    if (story.since > known) store.startsAt(story.since);
    for (const event of story.events) {
      store.apply(event);
      if (event.event_type === 'step_started') store.output.markPartial(stepKey(event.run_id ?? '', event.step_id ?? ''));
    }
    if (known > 0) store.leavesOut(since);
  }
  return since;
}

// Reads events, however long the server is away.
function patient(id: string, signal: AbortSignal): Read {
  return (filter) => insist(() => listEvents(id, filter, signal), signal);
}

// Asks again until the server answers or refuses.
async function insist<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await ask();
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(4_000, 300 * 2 ** failures)));
    }
  }
}
