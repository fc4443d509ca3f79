import { QueryClient } from '@tanstack/react-query';
import { isTransient } from '../api/client';
import { live } from './live';

// A server that is away is waited for; a refusal is shown at once.
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: 'always',
      retry: (_count, error) => isTransient(error),
      retryDelay: (attempt) => Math.min(4_000, 300 * 2 ** attempt),
      staleTime: 5_000,
      refetchOnWindowFocus: true,
    },
    mutations: { networkMode: 'always' },
  },
});

// What was missed while the connection was down is read again when it is back; of the list of
// sessions the socket brings a snapshot.
let wasLive = false;
live.onState(() => {
  const isLive = live.state.status === 'live';
  if (isLive && !wasLive) void queryClient.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'sessions' });
  wasLive = isLive;
});
