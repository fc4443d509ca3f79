import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { errorText } from '../../api/client';
import { resumeSession } from '../../api/endpoints';
import type { Approval, Plan, Run, Session } from '../../api/types';
import { RelativeTime } from '../../components/RelativeTime';
import { isAsk } from '../../lib/ask';
import { closedVerb } from '../../lib/approvalWords';
import { humanize } from '../../lib/format';
import type { StatusView, StepView } from '../../session/merge';
import type { SessionSnapshot } from '../../session/store';
import { ApprovalEdit } from './ApprovalEdit';
import { ApprovalPanel } from './ApprovalPanel';
import type { TimedApproval } from './useSessionData';

interface Props {
  session: Session;
  status: StatusView;
  approvals: TimedApproval[];
  steps: StepView[]; // of the run that is looked at
  run: Run | null; // the same
  earlier: boolean;
  plan: Plan | null; // of the latest run
  extensions: SessionSnapshot['extensions'];
  presence: SessionSnapshot['presence'];
}

// Open questions in full; decided ones of the run as one line each, newest first.
export function ApprovalArea({ session, status, approvals, steps, run, earlier, plan, extensions, presence }: Props) {
  const [editing, setEditing] = useState<{ id: string; feedback: string } | null>(null);
  const pending = approvals.filter(({ approval }) => approval.status === 'pending');
  const closed = approvals
    .map(({ approval }) => approval)
    .filter((approval) => approval.status !== 'pending' && approval.run_id === run?.id)
    .sort((a, b) => (b.resolved_at ?? b.created_at).localeCompare(a.resolved_at ?? a.created_at));
  const expired = status.status === 'suspended' && !earlier ? closed.find((approval) => approval.status === 'expired') : undefined;
  const titleOf = (approval: Approval) =>
    steps.find((step) => step.id === approval.step_id)?.title ?? plan?.steps.find((step) => step.id === approval.step_id)?.title ?? null;
  const edited = approvals.find(({ approval }) => approval.id === editing?.id);
  if (pending.length === 0 && closed.length === 0) return null;
  return (
    <section className="approvals" aria-label="Approvals">
      {pending.map(({ approval, deadline }) => (
        <ApprovalPanel
          key={approval.id}
          approval={approval}
          deadline={deadline}
          extension={extensions[approval.id]}
          plan={plan}
          stepTitle={titleOf(approval)}
          presence={presence}
          onEdit={(feedback) => setEditing({ id: approval.id, feedback })}
        />
      ))}
      {edited !== undefined && editing !== null && (
        <ApprovalEdit
          key={editing.id}
          timed={edited}
          extension={extensions[editing.id]}
          config={session.config}
          plan={plan}
          stepTitle={titleOf(edited.approval)}
          feedback={editing.feedback}
          onClose={() => setEditing(null)}
        />
      )}
      {expired !== undefined && pending.length === 0 && <ExpiredNotice session={session} approval={expired} stepTitle={titleOf(expired)} />}
      {closed.length > 0 && <ClosedApprovals approvals={closed} titleOf={titleOf} />}
    </section>
  );
}

function ExpiredNotice({ session, approval, stepTitle }: { session: Session; approval: Approval; stepTitle: string | null }) {
  const client = useQueryClient();
  const resume = useMutation({
    mutationFn: () => resumeSession(session.id),
    onError: (error) => notifications.show({ color: 'red', title: 'Resume failed', message: errorText(error) }),
    onSettled: () => void client.invalidateQueries({ queryKey: ['session', session.id] }),
  });
  return (
    <div className="approval" data-tone="expired" role="group" aria-label="Expired approval">
      <div className="approval-head">
        <strong>The approval expired; the session is suspended</strong>
      </div>
      <p className="muted">
        Nobody answered {stepTitle === null ? 'the question' : `the question about “${stepTitle}”`} in time. Nothing was lost and nothing runs. Resume asks again.
      </p>
      <Button loading={resume.isPending} onClick={() => resume.mutate()} aria-label="Resume and ask again">Resume</Button>
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
              {(isAsk(approval) ? approval.description : titleOf(approval)) ?? (approval.approval_type === 'plan_approval' ? 'the plan' : humanize(approval.approval_type))}
              {approval.actor ? ` by ${approval.actor}` : ''}
              {approval.feedback ? `: “${approval.feedback}”` : ''}
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
