import { useQuery } from '@tanstack/react-query';
import { ApiError } from '../../api/client';
import { getSession } from '../../api/endpoints';

// Another session's name; the start of its id until the name is known, or if it has none.
export function useSessionName(id: string | null): { name: string; gone: boolean } {
  const query = useQuery({
    queryKey: ['session', id],
    queryFn: ({ signal }) => getSession(id ?? '', signal),
    enabled: id !== null,
    staleTime: 60_000,
  });
  const gone = query.error instanceof ApiError && (query.error.status === 404 || query.error.status === 410);
  return { name: query.data?.name || (id ?? '').slice(0, 8), gone };
}
