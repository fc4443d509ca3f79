import { useQueries } from '@tanstack/react-query';
import type { UseQueryResult } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { getApproval } from '../../api/endpoints';
import type { Approval } from '../../api/types';
import { deadlineFrom } from '../../lib/countdown';
import type { TimedApproval } from './useSessionData';

// The approvals, including those that somebody acted on in this tab, even if they are now closed
// and too old to be read with the others.
export function useTouched(approvals: TimedApproval[]): [TimedApproval[], (id: string) => void] {
  const [touched, setTouched] = useState<readonly string[]>([]);
  const touch = useCallback((id: string) => setTouched((old) => (old.includes(id) ? old : [...old, id])), []);
  const missing = touched.filter((id) => !approvals.some(({ approval }) => approval.id === id));
  const read = useQueries({
    queries: missing.map((id) => ({
      queryKey: ['approval', id, 'closed'],
      queryFn: ({ signal }: { signal: AbortSignal }) => getApproval(id, signal),
      staleTime: Infinity,
    })),
    combine: closedOf,
  });
  return [useMemo(() => (read.length === 0 ? approvals : [...approvals, ...read]), [approvals, read]), touch];
}

function closedOf(results: UseQueryResult<Approval>[]): TimedApproval[] {
  return results.flatMap(({ data }) => (data === undefined ? [] : [{ approval: data, deadline: deadlineFrom(0, 0) }]));
}
