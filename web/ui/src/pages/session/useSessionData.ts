import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo } from 'react';
import { getSession, listApprovals, listRuns } from '../../api/endpoints';
import type { Approval, Plan, Run, Session } from '../../api/types';
import { deadlineFrom } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { mergeStatus, mergeSteps } from '../../session/merge';
import type { StatusView, StepView } from '../../session/merge';
import type { SessionSnapshot, SessionStore } from '../../session/store';
import { useSessionStore, useSnapshot } from '../../session/useSessionStore';
import { useThrottled } from '../../session/useThrottled';

export interface TimedApproval {
  approval: Approval;
  deadline: Deadline;
}

export interface SessionData {
  session: Session | undefined;
  error: unknown;
  refetch: () => void;
  runs: readonly Run[]; // the latest first
  run: Run | null; // the selected one
  latest: Run | null;
  plan: Plan | null; // of the selected run; null when not known yet
  steps: StepView[];
  status: StatusView | null;
  approvals: TimedApproval[];
  store: SessionStore | null;
  snapshot: SessionSnapshot;
}

const NO_APPROVALS: TimedApproval[] = [];

// Everything the session page shows: REST for the whole picture, and the event
// store on top for what happened since. number chooses an earlier run; null is
// the latest.
export function useSessionData(id: string, number: number | null): SessionData {
  const client = useQueryClient();
  const detail = useQuery({ queryKey: ['session', id], queryFn: ({ signal }) => getSession(id, signal) });
  const store = useSessionStore(id, detail.data?.head_seq ?? null);
  const snapshot = useSnapshot(store);

  const answer = useQuery({
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

  useThrottled(snapshot.structureVersion, () => {
    void client.invalidateQueries({ queryKey: ['session', id], exact: true });
    void client.invalidateQueries({ queryKey: ['session', id, 'runs'], exact: true });
  });
  useThrottled(snapshot.approvalVersion, () => {
    void client.invalidateQueries({ queryKey: ['session', id, 'approvals'] });
  });

  // If the log was replaced, read everything again.
  useEffect(() => {
    if (snapshot.rewound !== null) void client.invalidateQueries({ queryKey: ['session', id] });
  }, [client, id, snapshot.rewound]);

  const session = detail.data;
  const runs = useMemo(() => [...(answer.data?.runs ?? [])].sort((a, b) => b.number - a.number), [answer.data]);
  const latest = runs[0] ?? null;
  const run = (number === null ? undefined : runs.find((r) => r.number === number)) ?? latest;
  const fold = run === null ? undefined : snapshot.plans[run.id];
  const plan = fold?.plan ?? (run === latest ? (session?.plan ?? null) : null);
  const steps = useMemo(
    () => mergeSteps(run, plan, snapshot.steps, answer.data?.baseSeq ?? 0, fold?.seq ?? 0),
    [run, plan, fold?.seq, snapshot.steps, answer.data?.baseSeq],
  );
  return {
    session,
    error: detail.error,
    refetch: () => void detail.refetch(),
    runs,
    run,
    latest,
    plan,
    steps,
    status: session === undefined ? null : mergeStatus(session, snapshot.status),
    approvals: approvals.data ?? NO_APPROVALS,
    store,
    snapshot,
  };
}
