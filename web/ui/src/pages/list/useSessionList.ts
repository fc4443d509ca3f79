import type { ListFrame } from '@holdfast/client';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import type { InfiniteData } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { listSessions } from '../../api/endpoints';
import type { SessionList } from '../../api/types';
import { live } from '../../app/live';
import { foldList, foldSnapshot } from './foldList';

const PAGE = 50;

// The list: read once when the page opens or its filter changes, and kept current by the socket's list-level frames. It
// is read again only when the server sends another snapshot, since changes may have been missed, and more rows are
// shown than that holds.
export function useSessionList(filter: { q?: string; status?: string }) {
  const client = useQueryClient();
  const { q, status } = filter;
  const early = useRef<ListFrame[]>([]); // frames that came while an answer was under way, which may be older
  const take = useRef<(frame: ListFrame) => void>(() => undefined);

  useEffect(() => {
    const queryKey = ['sessions', { q, status }];
    let snapshots = 0;
    take.current = (frame) => {
      const old = client.getQueryData<InfiniteData<SessionList>>(queryKey);
      if (old === undefined || client.isFetching({ queryKey, exact: true }) > 0) {
        early.current.push(frame);
        return;
      }
      let { pages } = old;
      if (frame.event_type === 'sessions') {
        const after = foldSnapshot(pages, frame.data, { q, status });
        pages = after.pages;
        snapshots += 1;
        if (snapshots > 1 && !after.whole) void client.invalidateQueries({ queryKey, exact: true });
      } else pages = foldList(pages, frame, { q, status });
      client.setQueryData<InfiniteData<SessionList>>(queryKey, { pages, pageParams: old.pageParams });
    };
    const stop = live.subscribeSessions((frame) => take.current(frame));
    return () => {
      stop();
      early.current = [];
    };
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
    if (isFetching) return;
    for (const frame of early.current.splice(0)) take.current(frame);
  }, [isFetching, q, status]);
  return list;
}
