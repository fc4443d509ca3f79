import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation } from '@tanstack/react-query';
import { memo, useCallback, useEffect, useRef, useState } from 'react';
import { errorText } from '../../api/client';
import { resolveApproval } from '../../api/endpoints';
import type { Approval, Plan, Run, Session } from '../../api/types';
import { AskAgain } from '../../components/AskAgain';
import { ErrorBoundary } from '../../components/ErrorBoundary';
import { Pieces } from '../../components/Pieces';
import { RelativeTime } from '../../components/RelativeTime';
import { isAsk } from '../../lib/ask';
import { closedVerb } from '../../lib/approvalWords';
import { humanize } from '../../lib/format';
import { lostDecision } from '../../session/lostDecisions';
import type { Draft, LostDecision } from '../../session/lostDecisions';
import type { StatusView, StepView } from '../../session/merge';
import type { SessionSnapshot } from '../../session/store';
import { ApprovalEdit } from './ApprovalEdit';
import { ApprovalPanel } from './ApprovalPanel';
import { LostDecisionNote } from './LostDecisionNote';
import type { TimedApproval } from './useSessionData';

const FIRST_SHOWN = 10;
const MORE_SHOWN = 20;

interface Props {
  session: Session;
  status: StatusView;
  approvals: TimedApproval[];
  steps: StepView[]; // of the selected run
  run: Run | null; // the selected run
  earlier: boolean;
  plan: Plan | null; // of the latest run
  extensions: SessionSnapshot['extensions'];
  presence: SessionSnapshot['presence'];
}

// Open questions in full, the oldest first, so that none moves when others come; the run's decided
// ones as one line each, newest first.
export const ApprovalArea = memo(function ApprovalArea({ session, status, approvals, steps, run, earlier, plan, extensions, presence }: Props) {
  const [editing, setEditing] = useState<{ timed: TimedApproval; feedback: string } | null>(null);
  const [most, setMost] = useState(FIRST_SHOWN);
  const [lost, putAway, keepDraft] = useLostDecisions(approvals);
  const pending = approvals.filter(({ approval }) => approval.status === 'pending').reverse();
  const hidden = Math.max(0, pending.length - most);
  const closed = approvals
    .map(({ approval }) => approval)
    .filter((approval) => approval.status !== 'pending' && approval.run_id === run?.id)
    .sort((a, b) => (b.resolved_at ?? b.created_at).localeCompare(a.resolved_at ?? a.created_at));
  const reopenable = closed.filter((approval) => approval.reopenable === true);
  const suspending = status.status === 'suspended' && !earlier ? closed.filter((approval) => approval.status === 'expired').slice(0, 1) : [];
  const expired = reopenable.length > 0 ? reopenable : suspending;
  const titleOf = (approval: Approval) =>
    steps.find((step) => step.id === approval.step_id)?.title ?? plan?.steps.find((step) => step.id === approval.step_id)?.title ?? null;
  const edited = editing === null ? undefined : current(editing.timed, approvals);
  if (pending.length === 0 && closed.length === 0 && lost.length === 0) return null;
  return (
    <section className="approvals" aria-label="Approvals">
      {lost.map((one) => (
        <LostDecisionNote key={one.approval.id} lost={one} title={one.approval.step_id ? (titleOf(one.approval) ?? one.approval.step_id) : null} onClose={() => putAway(one.approval.id)} />
      ))}
      {pending.slice(0, most).map(({ approval, deadline }) => (
        <ErrorBoundary key={approval.id} fallback={<Unshowable approval={approval} />}>
          <ApprovalPanel
            approval={approval}
            deadline={deadline}
            extension={extensions[approval.id]}
            stepTitle={titleOf(approval)}
            presence={presence}
            onEdit={(feedback) => {
              keepDraft(approval.id, { feedback: '', sent: null }); // the typed words move into the dialog, which keeps them
              setEditing({ timed: { approval, deadline }, feedback });
            }}
            onDraft={(draft) => keepDraft(approval.id, draft)}
          />
        </ErrorBoundary>
      ))}
      {hidden > 0 && (
        <p className="approvals-more">
          <span>{hidden.toLocaleString('en')} more {hidden === 1 ? 'waits' : 'wait'} for a decision.</span>
          <Button variant="default" size="compact-sm" onClick={() => setMost(most + MORE_SHOWN)}>Show {Math.min(hidden, MORE_SHOWN)} more</Button>
        </p>
      )}
      {edited !== undefined && editing !== null && (
        <ApprovalEdit
          key={edited.approval.id}
          timed={edited}
          extension={extensions[edited.approval.id]}
          config={session.config}
          plan={plan}
          stepTitle={titleOf(edited.approval)}
          feedback={editing.feedback}
          onClose={() => setEditing(null)}
        />
      )}
      {pending.length === 0 && expired.map((approval) => <ExpiredNotice key={approval.id} approval={approval} stepTitle={titleOf(approval)} />)}
      {closed.length > 0 && <ClosedApprovals approvals={closed} titleOf={titleOf} />}
    </section>
  );
});

// The approval that is being edited, as it is now. When it is closed it loses what it was about, which the editor still
// shows.
function current({ approval: opened, deadline }: TimedApproval, approvals: TimedApproval[]): TimedApproval {
  const now = approvals.find(({ approval }) => approval.id === opened.id);
  if (now === undefined || now.approval.status === 'pending') return now ?? { approval: opened, deadline };
  return { ...now, approval: { ...now.approval, context: opened.context, context_truncated: opened.context_truncated } };
}

// This tab's decisions that came too late, because somebody else was quicker, until they are dismissed.
function useLostDecisions(approvals: TimedApproval[]): [LostDecision[], (id: string) => void, (id: string, draft: Draft) => void] {
  const drafts = useRef(new Map<string, Draft>());
  const [lost, setLost] = useState<LostDecision[]>([]);
  useEffect(() => {
    const found: LostDecision[] = [];
    for (const { approval } of approvals) {
      const draft = drafts.current.get(approval.id);
      if (draft === undefined || approval.status === 'pending') continue;
      drafts.current.delete(approval.id);
      const one = lostDecision(approval, draft);
      if (one !== null) found.push(one);
    }
    if (found.length > 0) setLost((old) => [...found, ...old]);
  }, [approvals]);
  const putAway = useCallback((id: string) => setLost((old) => old.filter((one) => one.approval.id !== id)), []);
  const keep = useCallback((id: string, draft: Draft) => void drafts.current.set(id, draft), []);
  return [lost, putAway, keep];
}

// A question that its panel failed to show. It can still be refused.
function Unshowable({ approval }: { approval: Approval }) {
  const reject = useMutation({
    mutationFn: () => resolveApproval(approval.id, { resolution: approval.options.includes('rejected') ? 'rejected' : 'abort' }, `unshowable-${approval.id}`),
    onError: (error) => notifications.show({ color: 'red', title: 'It was not rejected', message: errorText(error) }),
  });
  return (
    <div className="approval" role="alert">
      <strong>There is a question that this page cannot show</strong>
      <p className="muted">Read it with <span className="mono">holdfast approval show {approval.id.slice(0, 8)}</span>, or reject it.</p>
      <Button variant="outline" color="red" loading={reject.isPending} onClick={() => reject.mutate()}>Reject</Button>
    </div>
  );
}

function ExpiredNotice({ approval, stepTitle }: { approval: Approval; stepTitle: string | null }) {
  return (
    <div className="approval" data-tone="expired" role="group" aria-label="Expired approval">
      <div className="approval-head">
        <strong>The approval expired; the session is suspended</strong>
      </div>
      <p className="muted">
        Nobody answered <Pieces text={stepTitle === null ? 'the question' : `the question about “${stepTitle}”`} /> in time. Nothing was lost and nothing runs. It can be asked again, and the session goes on from there.
      </p>
      <AskAgain approval={approval} label="Resume and ask again" />
      <p className="muted approval-digest mono">digest {approval.digest.slice(0, 12)}</p>
    </div>
  );
}

function ClosedApprovals({ approvals, titleOf }: { approvals: Approval[]; titleOf: (approval: Approval) => string | null }) {
  const [all, setAll] = useState(false);
  const shown = all ? approvals : approvals.slice(0, 2);
  return (
    <ul className="decided" aria-label="Decided approvals">
      {shown.map((approval) => {
        return (
          <li key={approval.id}>
            <span className={`decided-verb ${approval.resolution === 'approved' ? 'text-good' : approval.resolution === 'rejected' ? 'text-bad' : ''}`}>{closedVerb(approval)}</span>
            <span className="ellipsis">
              <Pieces text={(isAsk(approval) ? approval.description : titleOf(approval)) ?? (approval.approval_type === 'plan_approval' ? 'the plan' : humanize(approval.approval_type))} />
              {approval.actor ? ` by ${approval.actor}` : ''}
              {approval.feedback && <Pieces text={`: “${approval.feedback}”`} />}
            </span>
            <span className="muted tabular"><RelativeTime iso={approval.resolved_at ?? approval.expires_at} /></span>
          </li>
        );
      })}
      {approvals.length > 2 && (
        <li><button type="button" className="textbutton" onClick={() => setAll(!all)}>{all ? 'Show fewer' : `Show all ${approvals.length}`}</button></li>
      )}
    </ul>
  );
}
