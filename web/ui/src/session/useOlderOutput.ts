import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { listEvents } from '../api/endpoints';
import { readPart } from './olderOutput';
import type { OutputPart } from './olderOutput';
import { learnPlace } from './olderStory';
import type { OutputBuffer } from './output';
import { placeOf } from './place';
import type { SessionStore } from './store';

export interface OlderOutput {
  output: OutputBuffer | null; // the older part being shown, also while another is read; null while the newest is shown
  shown: boolean;
  reading: boolean;
  error: unknown;
  first: boolean; // nothing comes before it
  last: boolean; // nothing comes after it that is not on this page
  open: (before: number | null) => void; // the part that ends with this seq
  back: () => void;
  forward: () => void; // to the part after it, in the end the newest
  close: () => void; // to the newest
}

// The older output of a run or a step, a part at a time. otherwise is the end of the part to show
// when none was chosen; null shows the newest output.
export function useOlderOutput(sessionId: string, store: SessionStore, runId: string | null, stepId: string | null, otherwise: number | null): OlderOutput {
  const scope = `${runId ?? ''}/${stepId ?? ''}`;
  // Where the parts end, back to the one being shown; and where the older one ends that was shown before it.
  const [chosen, setChosen] = useState<{ scope: string; ends: number[]; from?: number }>({ scope, ends: [] });
  const asked = chosen.scope === scope ? chosen.ends : [];
  const ends = asked.length === 0 && otherwise !== null ? [otherwise] : asked;
  const until = ends.at(-1);
  const shown = until !== undefined && runId !== null;
  const part = useQuery({
    queryKey: ['older-output', sessionId, scope, until] as const,
    queryFn: async ({ signal }): Promise<OutputPart> => {
      await learnPlace(sessionId, store, runId ?? '', signal);
      const { since } = placeOf(store, runId ?? '', stepId);
      return readPart((filter) => listEvents(sessionId, filter, signal), { runId: runId ?? '', stepId, since, until: until ?? 0 });
    },
    enabled: shown,
    staleTime: Infinity,
    gcTime: 30_000,
    structuralSharing: false,
    // Between two older parts the first stays; the newest stays until an older one is there.
    placeholderData: (part, query) => (query?.queryKey[2] === scope && query.queryKey[3] === chosen.from ? part : undefined),
  });
  const reading = shown && (part.isPending || part.isPlaceholderData);
  const before = reading ? null : (part.data?.before ?? null);
  const held = reading ? chosen.from : until; // what is on the screen
  const move = (to: number[], from?: number) => setChosen({ scope, ends: to, from });
  return {
    output: shown ? (part.data?.output ?? null) : null,
    shown,
    reading,
    error: shown ? part.error : null,
    first: !reading && part.data !== undefined && before === null,
    last: ends.length === 1 && ends[0] === otherwise,
    open: (end) => end !== null && move([end]),
    back: () => before !== null && move([...ends, before], held),
    forward: () => move(ends.slice(0, -1), held),
    close: () => move([]),
  };
}
