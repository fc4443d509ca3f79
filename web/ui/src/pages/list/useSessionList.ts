import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import type { InfiniteData } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { listSessions } from '../../api/endpoints';
import type { Session, SessionList } from '../../api/types';
import { live, useConnection } from '../../app/live';
import { patchSessions } from './patchSessions';
import type { ListChange } from './patchSessions';

const PAGE = 50;
const FALLBACK_MS = 5_000;

// The list over REST, kept current by the list-level frames of the socket.
// When those cannot be had, it is read again every few seconds.
export function useSessionList(filter: { q?: string; status?: string }) {
  const client = useQueryClient();
  const connection = useConnection();
  const [refused, setRefused] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const { q, status } = filter;
  const filtered = q !== undefined || status !== undefined;

  useEffect(() => {
    const refetchSoon = () => {
      timer.current ??= setTimeout(() => {
        timer.current = null;
        void client.invalidateQueries({ queryKey: ['sessions'] });
      }, 300);
    };
    const stop = live.subscribeSessions((frame) => {
      if (frame.event_type === 'error') {
        if (frame.data?.['request_id'] === 'sessions') setRefused(true);
        return;
      }
      const data = frame.data ?? {};
      const session = (data['session'] ?? data) as Partial<Session>;
      const id = session.id ?? frame.session_id ?? (typeof data['session_id'] === 'string' ? data['session_id'] : undefined);
      if (id === undefined) return;
      const change: ListChange = { type: frame.event_type, session: { ...session, id } };
      let complete = false;
      client.setQueryData<InfiniteData<SessionList>>(['sessions', { q, status }], (old) => {
        if (old === undefined) return old;
        const result = patchSessions(old.pages, change, filtered);
        complete = result.complete;
        return { ...old, pages: result.pages };
      });
      if (!complete) refetchSoon();
    });
    return () => {
      stop();
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    };
  }, [client, q, status, filtered]);

  return useInfiniteQuery({
    queryKey: ['sessions', { q, status }],
    queryFn: ({ pageParam, signal }) => listSessions({ q, status, limit: PAGE, cursor: pageParam || undefined }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next_cursor || undefined,
    refetchInterval: refused || connection.status !== 'live' ? FALLBACK_MS : false,
    placeholderData: (previous) => previous,
  });
}
