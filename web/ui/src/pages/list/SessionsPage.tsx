import { Button, NativeSelect, Skeleton, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { getRouteApi } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { PageError } from '../../components/PageError';
import { STATUSES } from '../../lib/statuses';
import { EmptyList } from './EmptyList';
import { SessionRow } from './SessionRow';
import { useSessionList } from './useSessionList';

const route = getRouteApi('/');

export function SessionsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [typed, setTyped] = useState(search.q ?? '');
  const list = useSessionList(search);
  useEffect(() => {
    document.title = 'Sessions · Holdfast';
  }, []);
  const applyQuery = useDebouncedCallback((q: string) => {
    void navigate({ search: (old) => ({ ...old, q: q.trim() || undefined }), replace: true });
  }, 200);

  const sessions = list.data?.pages.flatMap((page) => page.sessions) ?? [];
  const total = list.data?.pages[0]?.total;
  const filtered = search.q !== undefined || search.status !== undefined;
  if (list.isError && list.data === undefined) {
    return <PageError error={list.error} onRetry={() => void list.refetch()} />;
  }
  const empty = list.data !== undefined && sessions.length === 0;
  return (
    <div className="page">
      <div className="page-head">
        <h1>Sessions</h1>
        {total !== undefined && total > 0 && <span className="muted tabular">{total}</span>}
      </div>
      {(!empty || filtered) && (
        <div className="filters">
          <TextInput
            aria-label="Search sessions"
            placeholder="Search by name"
            leftSection={<IconSearch size={15} aria-hidden />}
            value={typed}
            onChange={(event) => {
              setTyped(event.currentTarget.value);
              applyQuery(event.currentTarget.value);
            }}
            className="grow"
          />
          <NativeSelect
            aria-label="Filter by status"
            value={search.status ?? ''}
            onChange={(event) => {
              const status = event.currentTarget.value || undefined;
              void navigate({ search: (old) => ({ ...old, status }), replace: true });
            }}
            data={[{ value: '', label: 'Any status' }, ...STATUSES.map((s) => ({ value: s, label: s.charAt(0).toUpperCase() + s.slice(1) }))]}
          />
        </div>
      )}
      {list.data === undefined && (
        <div role="status" aria-label="Loading sessions">
          {[0, 1, 2, 3].map((n) => <Skeleton key={n} h={46} mb={6} />)}
        </div>
      )}
      {empty && filtered && (
        <div className="notice">
          <h2>No session matches</h2>
          <Button variant="default" onClick={() => { setTyped(''); void navigate({ search: {}, replace: true }); }}>Clear the filter</Button>
        </div>
      )}
      {empty && !filtered && <EmptyList />}
      {sessions.length > 0 && (
        <ul className="rows" aria-label="Sessions">
          {sessions.map((session) => <SessionRow key={session.id} session={session} />)}
        </ul>
      )}
      {list.hasNextPage && (
        <Button variant="default" mt="sm" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show more</Button>
      )}
    </div>
  );
}
