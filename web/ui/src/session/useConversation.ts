import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { listMessages } from '../api/endpoints';
import type { Message, StoredEvent } from '../api/types';
import { foldMessages } from './messages';
import type { Growing } from './store';

const MAX_PAGES = 100;

// The conversation: read once when somebody needs it, and kept current by events. said are those since the projection
// at openedAt.
export function useConversation(id: string, openedAt: number, said: Growing<readonly StoredEvent[]>, enabled: boolean) {
  const read = useQuery({
    queryKey: ['session', id, 'history', openedAt],
    queryFn: ({ signal }) => readAll(id, signal),
    enabled,
    staleTime: Infinity,
    structuralSharing: false,
    placeholderData: (previous, query) => (query?.queryKey[1] === id ? previous : undefined), // while it is read again
  });
  const messages = useMemo(() => said.all.reduce<readonly Message[]>(foldMessages, read.data ?? NONE), [read.data, said]);
  return { messages, loading: enabled && read.isPending, error: read.error };
}

async function readAll(id: string, signal: AbortSignal): Promise<Message[]> {
  const messages: Message[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await listMessages(id, cursor, signal);
    messages.push(...answer.messages);
    cursor = answer.next_cursor;
    if (cursor === undefined) break;
  }
  return messages;
}

const NONE: readonly Message[] = [];
