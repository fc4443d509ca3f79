import type { Presence } from '@holdfast/client';
import { Button, Group, Textarea } from '@mantine/core';
import { IconAlertTriangle, IconRefresh } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { errorText } from '../../api/client';
import { resolveApproval } from '../../api/endpoints';
import type { Decision } from '../../api/endpoints';
import type { Approval, Resolution } from '../../api/types';
import { useCommandsBlocked } from '../../app/health';
import { Pieces } from '../../components/Pieces';
import { RelativeTime } from '../../components/RelativeTime';
import { askOptions, isAsk } from '../../lib/ask';
import { editKind, onTimeoutWords, question, splitAskedAgain } from '../../lib/approvalWords';
import type { Deadline } from '../../lib/countdown';
import { spelled } from '../../lib/hidden';
import { IdempotencyKey } from '../../lib/idempotency';
import type { Extension } from '../../session/store';
import type { Draft } from '../../session/lostDecisions';
import { useLooking } from '../../session/useLooking';
import { AskAnswer } from './AskAnswer';
import { ApprovalSubject, descriptionBeside, Unread, useReading } from './ApprovalSubject';
import { DeadlineLine } from './DeadlineLine';
import { Lookers } from './Viewers';

interface Props {
  approval: Approval;
  deadline: Deadline;
  extension: Extension | undefined;
  stepTitle: string | null;
  presence: Presence;
  onEdit: (feedback: string) => void;
  onDraft: (draft: Draft) => void; // what was typed and sent: it must survive the panel
}

const BUTTONS: Partial<Record<Resolution, string>> = {
  approved: 'Approve',
  retry: 'Retry',
  skip: 'Skip',
  rejected: 'Reject',
  abort: 'Abort',
};
const EDIT = { plan: 'Edit the plan…', step: 'Edit the step…', arguments: 'Edit the arguments…' };
const PRIMARY: Resolution[] = ['approved', 'retry'];
const DANGER: Resolution[] = ['rejected', 'abort'];

export function ApprovalPanel({ approval, deadline, extension, stepTitle, presence, onEdit, onDraft }: Props) {
  const panel = useRef<HTMLDivElement>(null);
  useLooking(approval.session_id, approval.id, panel);
  const [feedback, setFeedback] = useState('');
  const [overAt, setOverAt] = useState<number | null>(null);
  const [key] = useState(() => new IdempotencyKey());
  const reading = useReading(approval);
  const resolve = useMutation({
    mutationFn: (decision: Decision) => resolveApproval(approval.id, decision, key.for(decision)),
  });
  const over = overAt === deadline.at; // a deadline moved meanwhile is not over
  const decided = resolve.isSuccess;
  const outage = useCommandsBlocked();
  const closed = over || decided || outage !== null;
  const decide = (decision: Decision) => {
    onDraft({ feedback, sent: decision });
    resolve.mutate(decision);
  };
  const options = approval.options.filter((option) => BUTTONS[option] !== undefined);
  const primary = PRIMARY.find((option) => options.includes(option));
  const chosen = resolve.isPending ? resolve.variables.resolution : null;
  const what = question(approval, stepTitle);
  const text = descriptionBeside(approval);
  const again = splitAskedAgain(approval.description).why;
  const edit = editKind(approval);
  const asks = isAsk(approval);
  const answers = askOptions(reading.whole ?? approval);
  return (
    <div ref={panel} className="approval" data-tone={approval.escalated_at ? 'escalated' : 'pending'} role="group" aria-label={spelled(what)}>
      <div className="approval-head">
        <strong><Pieces text={what} /></strong>
        <DeadlineLine
          approval={approval}
          deadline={deadline}
          extension={extension}
          onOver={() => setOverAt(deadline.at)}
        />
      </div>
      <Lookers presence={presence} approvalId={approval.id} />
      {approval.escalated_at && (
        <p role="alert" className="approval-note text-bad">
          <IconAlertTriangle size={15} stroke={1.8} aria-hidden />
          <span>Urgent: nobody answered in time. Escalated <RelativeTime iso={approval.escalated_at} />.</span>
        </p>
      )}
      {again !== null && (
        <p className="approval-note">
          <IconRefresh size={15} stroke={1.8} aria-hidden />
          <span>Asked again: <Pieces text={again} />.</span>
        </p>
      )}
      {text !== '' && <p className="approval-text"><Pieces text={text} /></p>}
      <ApprovalSubject approval={approval} deadline={deadline} reading={reading} />
      <div className="approval-decide">
        <Textarea
          aria-label={asks ? 'Answer in words' : 'Feedback'}
          placeholder={placeholder(approval, answers.length > 0)}
          autosize
          minRows={1}
          maxRows={6}
          value={feedback}
          onChange={(event) => {
            setFeedback(event.currentTarget.value);
            onDraft({ feedback: event.currentTarget.value, sent: resolve.variables ?? null });
          }}
          disabled={over || decided}
        />
        {resolve.isError && <p role="alert" className="text-bad">{errorText(resolve.error)}</p>}
        <Unread reading={reading} />
        {outage !== null && <p role="status" className="muted">{outage}</p>}
        {over && <p role="status" className="muted">The time is over; the server is closing this question.</p>}
        {answers.length > 0 ? (
          <AskAnswer options={answers} own={feedback} busy={resolve.isPending ? resolve.variables : null} disabled={closed} unread={reading.blocked !== null} onDecide={decide} />
        ) : (
          <Group gap="xs" align="center">
            {options.map((option) => (
              <Button
                key={option}
                variant={option === primary ? 'filled' : DANGER.includes(option) ? 'outline' : 'default'}
                color={DANGER.includes(option) ? 'red' : undefined}
                disabled={closed || (reading.blocked !== null && PRIMARY.includes(option)) || (chosen !== null && chosen !== option)}
                loading={chosen === option}
                onClick={() => decide({ resolution: option, feedback })}
              >
                {BUTTONS[option]}
              </Button>
            ))}
            {edit !== null && (
              <Button variant="default" disabled={closed || chosen !== null || reading.whole === null} onClick={() => onEdit(feedback)}>
                {approval.approval_type === 'error_recovery' ? 'Edit and retry…' : EDIT[edit]}
              </Button>
            )}
          </Group>
        )}
      </div>
      <p className="approval-foot muted">
        <span>{onTimeoutWords(approval)}</span>
        <span className="mono" title={approval.digest}>digest {approval.digest.slice(0, 12)}</span>
      </p>
    </div>
  );
}

function placeholder(approval: Approval, choice: boolean): string {
  if (isAsk(approval)) return choice ? 'An answer of your own, optional' : 'An answer in words, optional; the program reads it';
  return approval.options.includes('retry') ? 'Feedback, optional; the next try reads it as HOLDFAST_FEEDBACK' : 'Feedback, optional; kept with the decision';
}
