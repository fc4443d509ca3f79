import { useQuery } from '@tanstack/react-query';
import { listEvents } from '../api/endpoints';
import { stepKey } from './fold';
import { learnPlace } from './olderStory';
import { findTail } from './opening';
import { OutputBuffer, runScope } from './output';
import { placeOf } from './place';
import type { SessionStore } from './store';

// The output of a run: what the page holds, or, for an earlier run that the
// page has not read, what the server's log has.
export function useRunOutput(sessionId: string, store: SessionStore | null, runId: string | null, earlier: boolean): { output: OutputBuffer | null; reading: boolean } {
  const missing = earlier && runId !== null && store !== null && store.output.droppedOlder(runScope(runId));
  const read = useQuery({
    queryKey: ['run-output', sessionId, runId],
    queryFn: ({ signal }) => (store === null ? new OutputBuffer() : readOutput(sessionId, store, runId ?? '', signal)),
    enabled: missing,
    staleTime: Infinity,
    gcTime: 30_000,
    structuralSharing: false,
  });
  if (!missing) return { output: store?.output ?? null, reading: false };
  return { output: read.data ?? store.output, reading: read.isPending };
}

// The newest part of a long one.
async function readOutput(sessionId: string, store: SessionStore, runId: string, signal: AbortSignal): Promise<OutputBuffer> {
  await learnPlace(sessionId, store, runId, signal);
  const { since, until } = placeOf(store, runId);
  const tail = until === undefined ? since : await findTail((filter) => listEvents(sessionId, filter, signal), since, until);
  const output = new OutputBuffer();
  for (let from: number | undefined = tail; from !== undefined; ) {
    const page = await listEvents(sessionId, { since: from, until, types: ['output'] }, signal);
    for (const event of page.events) {
      const { text, attempt } = event.data as { text?: unknown; attempt?: unknown };
      if (event.run_id !== runId || typeof text !== 'string') continue;
      const stepId = event.step_id ?? '';
      output.append({ seq: event.seq, key: stepKey(runId, stepId), stepId, attempt: typeof attempt === 'number' ? attempt : 1, text });
    }
    from = page.next_since;
  }
  if (tail > since) output.markPartial(stepKey(runId, ''));
  return output;
}
