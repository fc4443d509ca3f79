import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import type { InfiniteData } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { listSessions } from '../../api/endpoints';
import type { SessionList } from '../../api/types';
import { live } from '../../app/live';
import { patchSessions, replaceSessions } from './patchSessions';

const PAGE = 50;
const SOON_MS = 300;

// The list, kept current by the socket's list-level frames: a snapshot whenever changes may have
// been missed, then changes. It is read over REST when the page opens, and when only the server
// can say how a change affects what is shown; it is never polled.
export function useSessionList(filter: { q?: string; status?: string }) {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const { q, status } = filter;
  const filtered = q !== undefined || status !== undefined;

  useEffect(() => {
    const queryKey = ['sessions', { q, status }];
    const refetchSoon = () => {
      timer.current ??= setTimeout(() => {
        timer.current = null;
        void client.invalidateQueries({ queryKey: ['sessions'] });
      }, SOON_MS);
    };
    const patch = (change: (old: SessionList[]) => { pages: SessionList[]; complete: boolean }) => {
      const old = client.getQueryData<InfiniteData<SessionList>>(queryKey);
      // An answer under way may be older than the change.
      if (old === undefined || client.isFetching({ queryKey }) > 0) refetchSoon();
      if (old === undefined) return;
      const { pages, complete } = change(old.pages);
      if (!complete) refetchSoon();
      client.setQueryData<InfiniteData<SessionList>>(queryKey, { pages, pageParams: old.pageParams.slice(0, pages.length) });
    };
    const stop = live.subscribeSessions((frame) => {
      if (frame.event_type === 'sessions') {
        patch((pages) => {
          const whole = replaceSessions(frame.data, filtered);
          return whole.complete ? whole : { pages, complete: false };
        });
        return;
      }
      patch((pages) => patchSessions(pages, frame, filtered));
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
    refetchOnWindowFocus: false,
    placeholderData: (previous) => previous,
  });
}
