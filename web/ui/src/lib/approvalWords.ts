import type { Approval, Resolution } from '../api/types';
import { isAsk } from './ask';
import { humanize } from './format';

// What an approval is called, and what it does, in words.

export function question(approval: Approval, stepTitle: string | null): string {
  switch (approval.approval_type) {
    case 'plan_approval':
      return 'Approve the plan';
    case 'step_approval':
      return `Approve “${stepTitle ?? approval.step_id ?? 'a step'}”`;
    case 'error_recovery':
      return `“${stepTitle ?? approval.step_id ?? 'A step'}” failed. What next?`;
    case 'program_ask':
      return `“${stepTitle ?? approval.step_id ?? 'A step'}” asks`;
    default:
      return humanize(approval.approval_type);
  }
}

// The description without the reason for asking again, and that reason.
export function splitAskedAgain(description: string): { text: string; why: string | null } {
  const found = /^([\s\S]*?) ?\(asked again: ([\s\S]*)\)$/.exec(description);
  return found === null ? { text: description, why: null } : { text: found[1] ?? '', why: found[2] ?? '' };
}

// What happens when nobody answers.
export function onTimeoutWords(approval: Approval): string {
  const recovery = approval.approval_type === 'error_recovery';
  if (isAsk(approval)) return askTimeoutWords(approval);
  switch (approval.on_timeout ?? 'suspend') {
    case 'reject':
      return recovery ? 'If nobody answers: the run is aborted.' : 'If nobody answers: it is rejected.';
    case 'approve':
      return recovery ? 'If nobody answers: the step is skipped.' : 'If nobody answers: it is approved.';
    case 'escalate':
      return approval.escalated_at
        ? 'If still nobody answers: the session is suspended.'
        : 'If nobody answers: it is escalated, with more time; after that the session is suspended.';
    default:
      return 'If nobody answers: the session is suspended, and asks again when it is resumed.';
  }
}

// A program that asked keeps running, and is told that nobody has answered.
function askTimeoutWords(approval: Approval): string {
  switch (approval.on_timeout ?? 'reject') {
    case 'approve':
      return 'If nobody answers: it is approved.';
    case 'escalate':
      return approval.escalated_at
        ? 'If still nobody answers: the program goes on without an answer.'
        : 'If nobody answers: it is escalated, with more time; after that the program goes on without an answer.';
    default:
      return 'If nobody answers: the program goes on without an answer.';
  }
}

// How an approval closed, as the first words of a line about it.
export function closedVerb(approval: Approval): string {
  if (approval.status === 'void') return 'Changed, asked again';
  if (approval.status !== 'resolved') return humanize(approval.status);
  if (isAsk(approval) && approval.resolution === 'approved' && approval.feedback) return 'Answered';
  const edited = approval.modifications !== undefined;
  const verbs: Record<Resolution, string> = {
    approved: 'Approved',
    rejected: 'Rejected',
    modified: 'Edited',
    retry: edited ? 'Retry with an edit chosen' : 'Retry chosen',
    skip: 'Skip chosen',
    abort: 'Abort chosen',
  };
  return approval.resolution === undefined ? 'Decided' : verbs[approval.resolution];
}

// Which resolution opens which editor.
export type EditKind = 'plan' | 'step' | 'arguments';

export function editKind(approval: Approval): EditKind | null {
  switch (approval.approval_type) {
    case 'plan_approval':
      return approval.options.includes('modified') ? 'plan' : null;
    case 'step_approval':
      return approval.options.includes('modified') ? 'step' : null;
    case 'error_recovery':
      return approval.options.includes('retry') ? 'step' : null;
    case 'tool_call':
      return approval.options.includes('modified') ? 'arguments' : null;
    default:
      return null;
  }
}
