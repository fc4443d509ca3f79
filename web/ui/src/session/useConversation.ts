import { useQuery, useQueryClient } from '@tanstack/react-query';
import { listMessages } from '../api/endpoints';
import type { Message } from '../api/types';
import { useThrottled } from './useThrottled';

// The whole conversation. Pages in which nothing is waiting never change again
// and are read once.
interface Held {
  messages: Message[];
  settled: number; // how many messages are in such pages
  cursor: string | undefined; // of the page after those
}

const MAX_PAGES = 100;

export function useConversation(id: string, version: number, enabled: boolean) {
  const client = useQueryClient();
  const queryKey = ['session', id, 'history'];
  const query = useQuery({
    queryKey,
    queryFn: async ({ signal }): Promise<Held> => {
      const before = client.getQueryData<Held>(queryKey);
      const messages = before === undefined ? [] : before.messages.slice(0, before.settled);
      let { settled, cursor } = before ?? { settled: 0, cursor: undefined };
      let at = cursor;
      for (let page = 0; page < MAX_PAGES; page++) {
        const answer = await listMessages(id, at, signal);
        messages.push(...answer.messages);
        at = answer.next_cursor;
        if (at === undefined) break;
        if (messages.slice(settled).every((message) => message.status !== 'queued')) {
          settled = messages.length;
          cursor = at;
        }
      }
      return { messages, settled, cursor };
    },
    enabled,
    structuralSharing: false,
  });
  useThrottled(version, () => void client.invalidateQueries({ queryKey }));
  return { messages: query.data?.messages ?? NONE, loading: query.isPending, error: query.error };
}

const NONE: Message[] = [];
