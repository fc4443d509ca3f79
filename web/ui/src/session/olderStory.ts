import { listEvents } from '../api/endpoints';
import { readStory } from './opening';
import type { SessionStore } from './store';

// Reads the part of the story before what the store has.
export async function readOlder(id: string, store: SessionStore, signal?: AbortSignal): Promise<void> {
  const until = store.olderUntil;
  if (until === 0) return;
  const story = await readStory((filter) => listEvents(id, filter, signal), 0, until);
  if (store.olderUntil === until) store.prepend(story.events, story.since);
}

// Reads as much of the older story as needed to know where a run began.
export async function learnPlace(sessionId: string, store: SessionStore, runId: string, signal: AbortSignal): Promise<void> {
  const known = () => store.timeline.some((row) => row.runId === runId && row.type === 'workflow_started');
  while (store.olderUntil > 0 && !known()) await readOlder(sessionId, store, signal);
}
