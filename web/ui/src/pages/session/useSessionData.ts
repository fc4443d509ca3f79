import { useMemo } from 'react';
import type { Approval, Plan, Run, Session } from '../../api/types';
import type { Deadline } from '../../lib/countdown';
import { retry } from '../../session/following';
import { mergeSteps } from '../../session/merge';
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

const NO_RUNS: readonly Run[] = [];
const NO_APPROVALS: readonly Approval[] = [];

// Everything the session page shows. number chooses an earlier run; null is the latest.
export function useSessionData(id: string, number: number | null): SessionData {
  const store = useSessionStore(id);
  const snapshot = useSnapshot(store);
  const { projection } = snapshot;
  const session = projection?.session;
  const told = projection?.runs ?? NO_RUNS;
  const asked = projection?.approvals ?? NO_APPROVALS;
  const runs = useMemo(() => told.toReversed(), [told]);
  const latest = runs[0] ?? null;
  const run = (number === null ? undefined : runs.find((r) => r.number === number)) ?? latest;
  const plan = (run === null ? undefined : snapshot.plans.all.get(run.id)?.plan) ?? (run === latest ? (session?.plan ?? null) : null);
  const steps = useMemo(() => mergeSteps(run, plan, snapshot.live), [run, plan, snapshot.live]);
  const approvals = useTimed(asked, store);
  const [now, phase] = [session?.status, session?.phase];
  const status = useMemo(() => (now === undefined || phase === undefined ? null : { status: now, phase }), [now, phase]);
  return {
    session,
    error: snapshot.error,
    refetch: () => retry(id),
    runs,
    run,
    latest,
    plan,
    steps,
    status,
    approvals,
    store,
    snapshot,
  };
}

// The approvals with their deadlines, all anew when an approval changes or the clock is put right that tells deadlines.
function useTimed(approvals: readonly Approval[], store: SessionStore | null): TimedApproval[] {
  const moved = store?.clock.moved ?? 0;
  return useMemo(
    () => approvals.map((approval) => ({ approval, deadline: store?.clock.deadline(approval.expires_at) ?? { at: 0 } })),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- moved says that the clock tells other deadlines
    [approvals, store, moved],
  );
}
