import { useMutation } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import { resolveApproval } from '../../api/endpoints';
import type { Decision } from '../../api/endpoints';
import type { Approval, Config, Plan } from '../../api/types';
import { closedVerb, editKind } from '../../lib/approvalWords';
import { IdempotencyKey } from '../../lib/idempotency';
import type { Extension } from '../../session/store';
import { useSubject, useWhole } from '../../session/useSubject';
import { planOf, stepOf } from './ApprovalSubject';
import { ArgumentsDialog } from './ArgumentsDialog';
import { DeadlineLine } from './DeadlineLine';
import { StepDialog } from './StepDialog';
import type { TimedApproval } from './useSessionData';

const PlanDialog = lazy(async () => ({ default: (await import('./PlanDialog')).PlanDialog }));

interface Props {
  timed: TimedApproval; // as it is now: it may close while somebody is still typing
  extension: Extension | undefined;
  config: Config;
  plan: Plan | null;
  stepTitle: string | null;
  feedback: string;
  onClose: () => void;
}

// The editor for what an approval asks about. Typed text stays until it is sent or the editor is closed.
export function ApprovalEdit({ timed, extension, config, plan, stepTitle, feedback, onClose }: Props) {
  const { approval, deadline } = timed;
  const { subject } = useSubject(approval);
  const { whole } = useWhole(approval);
  const [key] = useState(() => new IdempotencyKey());
  const send = useMutation({
    mutationFn: (decision: Decision) => resolveApproval(approval.id, decision, key.for(decision)),
    onSuccess: onClose,
  });
  const retry = approval.approval_type === 'error_recovery';
  const pending = approval.status === 'pending';
  const common = {
    head: pending ? <p className="edit-deadline"><DeadlineLine approval={approval} deadline={deadline} extension={extension} /></p> : null,
    closed: pending || send.isPending ? null : closedWords(approval),
    note: config.on_modified === 'approve' ? (retry ? 'It is tried again as edited.' : 'Your edit is the approval: it goes on as edited.') : 'It is asked about again, as edited.',
    sendLabel: retry ? 'Retry with the edit' : 'Send the edit',
    sending: send.isPending,
    error: send.error,
    onClose,
  };
  const resolution = retry ? 'retry' : 'modified';
  const about = stepTitle ?? approval.step_id ?? 'the step';
  switch (editKind(approval)) {
    case 'plan':
      return (
        <Suspense>
          <PlanDialog {...common} title="Edit the plan" plan={planOf(subject, plan)} mustDiffer withFeedback={feedback} onSend={(edited, said) => send.mutate({ resolution, feedback: said, modifications: { plan: edited } })} />
        </Suspense>
      );
    case 'step': {
      const step = stepOf(approval, subject, plan);
      if (step === null) return null;
      return <StepDialog {...common} title={retry ? `Edit “${about}” and retry` : `Edit “${about}”`} step={step} plan={plan} feedback={feedback} onSend={(edit, said) => send.mutate({ resolution, feedback: said, modifications: edit })} />;
    }
    case 'arguments':
      if (whole === null) return null;
      return <ArgumentsDialog {...common} title="Edit the arguments" original={whole.context['arguments'] ?? {}} feedback={feedback} onSend={(args, said) => send.mutate({ resolution, feedback: said, modifications: { arguments: args } })} />;
    default:
      return null;
  }
}

function closedWords(approval: Approval): string {
  const by = approval.actor ? ` by ${approval.actor}` : '';
  return `This question was closed meanwhile (${closedVerb(approval).toLowerCase()}${by}). The edit can be copied from here, not sent.`;
}
