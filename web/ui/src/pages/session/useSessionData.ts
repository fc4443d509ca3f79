import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useRef } from 'react';
import { getSession, listApprovals, listRuns } from '../../api/endpoints';
import type { Approval, Run, Session } from '../../api/types';
import { deadlineFrom } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { mergeStatus, mergeSteps } from '../../session/merge';
import type { StatusView, StepView } from '../../session/merge';
import type { SessionSnapshot, SessionStore } from '../../session/store';
import { useSessionStore, useSnapshot } from '../../session/useSessionStore';

export interface TimedApproval {
  approval: Approval;
  deadline: Deadline;
}

export interface SessionData {
  session: Session | undefined;
  error: unknown;
  refetch: () => void;
  run: Run | null;
  steps: StepView[];
  status: StatusView | null;
  approvals: TimedApproval[];
  store: SessionStore | null;
  snapshot: SessionSnapshot;
}

const REFRESH_EVERY_MS = 400;
const NO_APPROVALS: TimedApproval[] = [];

// Everything the session page shows: REST for the whole picture, the event
// store laid over it for what happened since.
export function useSessionData(id: string): SessionData {
  const client = useQueryClient();
  const detail = useQuery({ queryKey: ['session', id], queryFn: ({ signal }) => getSession(id, signal) });
  const store = useSessionStore(id, detail.data?.head_seq ?? null);
  const snapshot = useSnapshot(store);

  const runs = useQuery({
    queryKey: ['session', id, 'runs'],
    queryFn: async ({ signal }) => {
      const baseSeq = store?.lastSeq ?? 0;
      return { runs: await listRuns(id, signal), baseSeq };
    },
    enabled: detail.data !== undefined,
  });
  const approvals = useQuery({
    queryKey: ['session', id, 'approvals'],
    queryFn: async ({ signal }) => {
      const list = await listApprovals(id, signal);
      const now = performance.now();
      return list.map((approval) => ({ approval, deadline: deadlineFrom(approval.remaining_seconds ?? 0, now) }));
    },
    enabled: detail.data !== undefined,
  });

  useRefresh(snapshot.structureVersion, () => {
    void client.invalidateQueries({ queryKey: ['session', id], exact: true });
    void client.invalidateQueries({ queryKey: ['session', id, 'runs'] });
  });
  useRefresh(snapshot.approvalVersion, () => {
    void client.invalidateQueries({ queryKey: ['session', id, 'approvals'] });
  });

  const session = detail.data;
  const run = useMemo(() => {
    const list = runs.data?.runs ?? [];
    return list.reduce<Run | null>((latest, r) => (latest === null || r.number > latest.number ? r : latest), null);
  }, [runs.data]);
  const steps = useMemo(
    () => mergeSteps(run, session?.plan ?? null, snapshot.steps, runs.data?.baseSeq ?? 0),
    [run, session?.plan, snapshot.steps, runs.data?.baseSeq],
  );
  return {
    session,
    error: detail.error,
    refetch: () => void detail.refetch(),
    run,
    steps,
    status: session === undefined ? null : mergeStatus(session, snapshot.status),
    approvals: approvals.data ?? NO_APPROVALS,
    store,
    snapshot,
  };
}

// Runs refresh when the version grows: at once the first time, then at most
// every REFRESH_EVERY_MS, and always once after the last change.
function useRefresh(version: number, refresh: () => void): void {
  const latest = useRef(refresh);
  const lastRun = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    latest.current = refresh;
  });
  useEffect(() => {
    if (version === 0 || timer.current !== null) return;
    const wait = Math.max(0, lastRun.current + REFRESH_EVERY_MS - performance.now());
    timer.current = setTimeout(() => {
      timer.current = null;
      lastRun.current = performance.now();
      latest.current();
    }, wait);
  }, [version]);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    },
    [],
  );
}
