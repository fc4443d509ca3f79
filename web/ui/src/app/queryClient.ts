import { QueryClient } from '@tanstack/react-query';
import { isTransient } from '../api/client';
import { live } from './live';

// Waits for a server that is away; shows a refusal at once.
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

// When the connection is back, reads again what was missed meanwhile, except for the list of
// sessions: the socket brings a snapshot of it.
let wasLive = false;
live.onState(() => {
  const isLive = live.state.status === 'live';
  if (isLive && !wasLive) void queryClient.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'sessions' });
  wasLive = isLive;
});
