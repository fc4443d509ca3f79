import { useQuery } from '@tanstack/react-query';
import { listEvents } from '../api/endpoints';
import { stepKey } from './fold';
import { OutputBuffer, runScope } from './output';
import { placeOf } from './place';
import type { SessionStore } from './store';
import { TAIL_CHARS } from './tail';

// The output of a run: what the page holds of it, or, of an earlier run that
// the page has not read, what the server's log has.
export function useRunOutput(sessionId: string, store: SessionStore | null, runId: string | null, earlier: boolean): { output: OutputBuffer | null; reading: boolean } {
  const missing = earlier && runId !== null && store !== null && store.output.droppedOlder(runScope(runId));
  const read = useQuery({
    queryKey: ['run-output', sessionId, runId],
    queryFn: ({ signal }) => readOutput(sessionId, store, runId ?? '', signal),
    enabled: missing,
    staleTime: Infinity,
    gcTime: 30_000,
    structuralSharing: false,
  });
  if (!missing) return { output: store?.output ?? null, reading: false };
  return { output: read.data ?? store.output, reading: read.isPending };
}

async function readOutput(sessionId: string, store: SessionStore | null, runId: string, signal: AbortSignal): Promise<OutputBuffer> {
  const { since, until } = placeOf(store, runId);
  const output = new OutputBuffer();
  let chars = 0;
  for (let from: number | undefined = since; from !== undefined; ) {
    const page = await listEvents(sessionId, { since: from, until, types: ['output'] }, signal);
    for (const event of page.events) {
      const { text, attempt } = event.data as { text?: unknown; attempt?: unknown };
      if (event.run_id !== runId || typeof text !== 'string') continue;
      const stepId = event.step_id ?? '';
      const key = stepKey(runId, stepId);
      chars += text.length;
      output.append({ seq: event.seq, key, stepId, attempt: typeof attempt === 'number' ? attempt : 1, text });
    }
    from = page.next_since;
    if (chars > TAIL_CHARS && from !== undefined) {
      output.markPartial(stepKey(runId, ''));
      break;
    }
  }
  return output;
}
