import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import type { InfiniteData } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { listSessions } from '../../api/endpoints';
import type { SessionList } from '../../api/types';
import { live } from '../../app/live';
import { ListFeed } from './listFeed';

const PAGE = 50;

// The list: read once when the page opens or its filter changes, and kept current by the socket's list-level frames. It
// is read again only when the server sends a snapshot, since changes may have been missed, and more rows are shown than
// that holds.
export function useSessionList(filter: { q?: string; status?: string }) {
  const client = useQueryClient();
  const { q, status } = filter;
  const feed = useRef<ListFeed | null>(null);

  useEffect(() => {
    const queryKey = ['sessions', { q, status }];
    const data = () => client.getQueryData<InfiniteData<SessionList>>(queryKey);
    const folding = new ListFeed(
      {
        get: () => data()?.pages,
        put: (pages) => client.setQueryData<InfiniteData<SessionList>>(queryKey, { pages, pageParams: data()?.pageParams ?? [] }),
        reading: () => client.isFetching({ queryKey, exact: true }) > 0,
        reread: () => void client.invalidateQueries({ queryKey, exact: true }),
      },
      { q, status },
    );
    feed.current = folding;
    return live.subscribeSessions((frame) => folding.take(frame));
  }, [client, q, status]);

  const list = useInfiniteQuery({
    queryKey: ['sessions', { q, status }],
    queryFn: ({ pageParam, signal }) => listSessions({ q, status, limit: PAGE, cursor: pageParam || undefined }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next_cursor || undefined,
    staleTime: 0, // nothing keeps it current while it is not shown
    placeholderData: (previous) => previous,
  });
  const { isFetching } = list;
  useEffect(() => {
    if (!isFetching) feed.current?.settle();
  }, [isFetching, q, status]);
  return list;
}
