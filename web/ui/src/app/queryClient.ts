import { QueryClient } from '@tanstack/react-query';
import { isTransient } from '../api/client';

// Waits for a server that is away; shows a refusal at once. Nothing is read again by itself: what changes comes over the
// socket.
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: 'always',
      refetchOnReconnect: false,
      retry: (_count, error) => isTransient(error),
      retryDelay: (attempt) => Math.min(4_000, 300 * 2 ** attempt),
      staleTime: 5_000,
      refetchOnWindowFocus: false,
    },
    mutations: { networkMode: 'always' },
  },
});
