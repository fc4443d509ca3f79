import { Button, Group, Textarea } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { errorText } from '../../api/client';
import { resolveApproval } from '../../api/endpoints';
import type { Approval, Resolution, Session } from '../../api/types';
import type { Deadline } from '../../lib/countdown';
import { humanize } from '../../lib/format';
import { ApprovalSubject, descriptionBeside } from './ApprovalSubject';
import { Countdown } from './Countdown';

interface Props {
  approval: Approval;
  deadline: Deadline;
  session: Session;
  stepTitle: string | null;
}

const BUTTONS: Partial<Record<Resolution, string>> = {
  approved: 'Approve',
  retry: 'Retry',
  skip: 'Skip',
  rejected: 'Reject',
  abort: 'Abort',
};
const PRIMARY: Resolution[] = ['approved', 'retry'];
const DANGER: Resolution[] = ['rejected', 'abort'];

export function ApprovalPanel({ approval, deadline, session, stepTitle }: Props) {
  const client = useQueryClient();
  const [feedback, setFeedback] = useState('');
  const [over, setOver] = useState(false);
  const refresh = () => void client.invalidateQueries({ queryKey: ['session', session.id] });
  const resolve = useMutation({
    mutationFn: (resolution: Resolution) => resolveApproval(approval.id, resolution, feedback),
    onSettled: refresh,
  });
  const options = approval.options.filter((option) => BUTTONS[option] !== undefined);
  const primary = PRIMARY.find((option) => options.includes(option));
  const what = question(approval, stepTitle);
  const description = descriptionBeside(approval, session.plan ?? null);
  const decided = resolve.isSuccess;
  return (
    <div className="approval" data-tone="pending" role="group" aria-label={what}>
      <div className="approval-head">
        <strong>{what}</strong>
        <Countdown
          deadline={deadline}
          onOver={() => {
            setOver(true);
            refresh();
          }}
        />
      </div>
      {description !== '' && <p className="approval-text">{description}</p>}
      <ApprovalSubject approval={approval} plan={session.plan ?? null} />
      <Textarea
        aria-label="Feedback"
        placeholder="Feedback, optional; kept with the decision"
        autosize
        minRows={1}
        maxRows={6}
        value={feedback}
        onChange={(event) => setFeedback(event.currentTarget.value)}
        disabled={over || decided}
      />
      {resolve.isError && <p role="alert" className="text-bad">{errorText(resolve.error)}</p>}
      {over && <p role="status" className="muted">The time is over; the server is closing this question.</p>}
      <Group gap="xs" mt="xs" align="center">
        {options.map((option) => (
          <Button
            key={option}
            variant={option === primary ? 'filled' : DANGER.includes(option) ? 'outline' : 'default'}
            color={DANGER.includes(option) ? 'red' : undefined}
            disabled={over || decided || (resolve.isPending && resolve.variables !== option)}
            loading={resolve.isPending && resolve.variables === option}
            onClick={() => resolve.mutate(option)}
          >
            {BUTTONS[option]}
          </Button>
        ))}
        <span className="muted mono approval-digest" title={approval.digest}>digest {approval.digest.slice(0, 12)}</span>
      </Group>
    </div>
  );
}

function question(approval: Approval, stepTitle: string | null): string {
  switch (approval.approval_type) {
    case 'plan_approval':
      return 'Approve the plan';
    case 'step_approval':
      return `Approve “${stepTitle ?? approval.step_id ?? 'a step'}”`;
    case 'error_recovery':
      return `“${stepTitle ?? approval.step_id ?? 'A step'}” failed. What next?`;
    default:
      return humanize(approval.approval_type);
  }
}
