import type { Decision } from '../api/endpoints';
import type { Approval } from '../api/types';

// What a person was about to answer when somebody else closed the question.

export interface Draft {
  feedback: string; // typed so far
  sent: Decision | null; // what was decided here
}

export interface LostDecision {
  approval: Approval; // as it closed
  words: string; // typed here, and kept nowhere else
  tried: Decision['resolution'] | null; // what was decided here, and did not count
}

// Null when nothing is lost: the decision made here stands, or nothing was decided or typed here.
export function lostDecision(approval: Approval, draft: Draft): LostDecision | null {
  if (approval.status === 'pending') return null;
  const { sent } = draft;
  const words = (sent?.feedback ?? draft.feedback).trim();
  const stands = sent !== null && approval.status === 'resolved' && approval.resolution === sent.resolution;
  if (stands && (words === '' || (approval.feedback ?? '').trim() === words)) return null;
  if (sent === null && words === '') return null;
  return { approval, words, tried: stands ? null : (sent?.resolution ?? null) };
}
