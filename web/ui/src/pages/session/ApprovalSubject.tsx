import { Button } from '@mantine/core';
import { useMemo } from 'react';
import { errorText } from '../../api/client';
import type { Approval, Plan, PlanStep, Subject } from '../../api/types';
import { BoundText } from '../../components/BoundText';
import { DiffView } from '../../components/DiffView';
import { Pieces } from '../../components/Pieces';
import { isAsk, shownContext } from '../../lib/ask';
import type { ShownContext } from '../../lib/ask';
import { splitAskedAgain } from '../../lib/approvalWords';
import { foldsOf, isLong, sizeOf } from '../../lib/bound';
import type { Fold } from '../../lib/bound';
import type { Deadline } from '../../lib/countdown';
import { changedSections } from '../../lib/planText';
import { bindsPlan, useFolds, useSubject, useWhole } from '../../session/useSubject';
import type { Folds } from '../../session/useSubject';
import { AttentionChips } from './AttentionChips';
import { BoundPlan } from './BoundPlan';

// What an approval is about, as far as it is on the page. blocked says why nobody can say yes
// yet; null when everything the digest binds is there and none of it is folded.
export interface Reading {
  subject: Subject | null;
  whole: Approval | null; // with its whole context
  context: ShownContext;
  folds: Folds;
  blocked: string | null;
}

const CONTEXT_ID = 'context';
const NO_FOLDS: Fold[] = [];

export function useReading(approval: Approval): Reading {
  const { subject, error } = useSubject(approval);
  const { whole, error: unread } = useWhole(approval);
  const context = useMemo(() => (whole === null || bindsPlan(whole) ? null : shownContext(whole)), [whole]);
  const all = useMemo(() => {
    if (subject?.plan) return foldsOf(subject.plan);
    if (context === null || !('text' in context) || !isLong(context.text)) return NO_FOLDS;
    return [{ id: CONTEXT_ID, what: `what it shows (${sizeOf(context.text)})`, text: context.text }];
  }, [subject, context]);
  const folds = useFolds(all);
  return { subject, whole, context, folds, blocked: blockedBy(approval, { subject, whole, context, folds }, error ?? unread) };
}

function blockedBy(approval: Approval, { subject, whole, context, folds }: Omit<Reading, 'blocked'>, error: unknown): string | null {
  if (error !== null && error !== undefined) return `What this is about cannot be shown: ${errorText(error)}`;
  if (whole === null || (bindsPlan(approval) && subject === null)) return 'Reading what this is about…';
  if (subject !== null && (subject.digest !== approval.digest || !subject.plan)) return 'What this is about cannot be shown: the server has another version by now.';
  if (context !== null && 'text' in context && !context.whole) return 'What the program shows is nested too deeply, or is too long, to be shown here in full.';
  if (folds.folded.length === 0) return null;
  const shown = folds.folded.slice(0, 3).map((fold) => fold.what);
  const more = folds.folded.length - shown.length;
  return `Not shown: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}

// Exactly what a yes would allow: everything the digest binds.
export function ApprovalSubject({ approval, deadline, reading }: { approval: Approval; deadline: Deadline; reading: Reading }) {
  const { subject, context, folds } = reading;
  const changes = useMemo(() => (subject?.plan && subject.before ? changedSections(subject.before.plan, subject.plan) : []), [subject]);
  if (!bindsPlan(approval)) {
    if (context === null) return null;
    const label = isAsk(approval) ? 'What the program shows' : 'For approval';
    if ('facts' in context) {
      return (
        <dl className="facts" aria-label={label}>
          {context.facts.map(([name, value]) => <div key={name}><dt><Pieces text={name} /></dt><dd className="tabular"><Pieces text={value} /></dd></div>)}
        </dl>
      );
    }
    return <BoundText label={label} text={context.text} numbered={false} fold={isLong(context.text) ? { open: folds.open.has(CONTEXT_ID), onToggle: () => folds.toggle(CONTEXT_ID) } : undefined} />;
  }
  if (!subject?.plan) return null;
  return (
    <div className="asked">
      <AttentionChips attention={subject.attention} approval={approval} deadline={deadline} />
      {changes.length > 0 && (
        <section className="asked-changes" aria-label="Changed since it was last asked">
          <h4>Changed since it was last asked</h4>
          <DiffView sections={changes} />
        </section>
      )}
      <BoundPlan plan={subject.plan} asks={subject.asks} open={folds.open} onToggle={folds.toggle} />
    </div>
  );
}

// Why nobody can say yes yet, with a way to see the rest.
export function Unread({ reading }: { reading: Reading }) {
  if (reading.blocked === null) return null;
  return (
    <p className="unread" role="status">
      <span><Pieces text={reading.blocked} /></span>
      {reading.folds.folded.length > 0 && <Button variant="default" size="compact-xs" onClick={reading.folds.openAll}>Show everything</Button>}
    </p>
  );
}

// The description, if it says more than what is shown in full below it.
export function descriptionBeside(approval: Approval): string {
  const description = splitAskedAgain(approval.description).text;
  if (approval.approval_type !== 'step_approval' && approval.approval_type !== 'error_recovery') return description;
  const failed = /^This step failed \((.*?)\); retry/.exec(description)?.[1];
  return failed === undefined ? '' : `The last try ended with: ${failed}.`;
}

// The plan in question.
export const planOf = (subject: Subject | null, plan: Plan | null): Plan | null => subject?.plan ?? plan;

// The step in question, as the question has it.
export function stepOf(approval: Approval, subject: Subject | null, plan: Plan | null): PlanStep | null {
  return subject?.plan?.steps.find((step) => step.id === approval.step_id) ?? plan?.steps.find((step) => step.id === approval.step_id) ?? null;
}
