import type { Approval, Plan, PlanStep } from '../../api/types';
import { isAsk } from '../../lib/ask';
import { splitAskedAgain } from '../../lib/approvalWords';
import { commandOf } from '../../session/merge';
import { PlanSteps } from './PlanSteps';

interface Props {
  approval: Approval;
  plan: Plan | null;
}

// Exactly what a yes would allow, as the server put it into the question.
export function ApprovalSubject({ approval, plan }: Props) {
  const { context } = approval;
  const asked = planIn(context) ?? (approval.approval_type === 'plan_approval' ? plan : null);
  if (asked !== null) {
    return (
      <details className="subject" open={asked.steps.length <= 8}>
        <summary>{asked.steps.length === 1 ? '1 step' : `${asked.steps.length} steps`}, exactly as they will run</summary>
        <PlanSteps plan={asked} />
      </details>
    );
  }
  const command = stepCommand(context) ?? commandOf(plan?.steps.find((step) => step.id === approval.step_id));
  if (command !== null) return <pre className="command" aria-label="Command">{command}</pre>;
  if (Object.keys(context).length === 0) return null;
  return <pre className="command" aria-label="What is asked">{JSON.stringify(context, null, 2)}</pre>;
}

// The description, where it says more than the command that is shown in full below it.
export function descriptionBeside(approval: Approval, plan: Plan | null): string {
  const description = splitAskedAgain(approval.description).text;
  if (isAsk(approval)) return description;
  const command = stepCommand(approval.context) ?? commandOf(plan?.steps.find((step) => step.id === approval.step_id));
  if (command === null || command === '' || !description.includes(command.slice(0, 60))) return description;
  const failed = /^This step failed \((.*?)\); retry/.exec(description)?.[1];
  return failed === undefined ? '' : `The last try ended with: ${failed}.`;
}

// The plan that is asked about.
export function planOf(approval: Approval, plan: Plan | null): Plan | null {
  return planIn(approval.context) ?? plan;
}

// The step that is asked about, as it stands in the question.
export function stepOf(approval: Approval, plan: Plan | null): PlanStep | null {
  const asked = approval.context['step'];
  if (typeof asked === 'object' && asked !== null && 'id' in asked) return asked as PlanStep;
  return plan?.steps.find((step) => step.id === approval.step_id) ?? null;
}

function planIn(context: Record<string, unknown>): Plan | null {
  for (const candidate of [context['plan'], context]) {
    if (typeof candidate === 'object' && candidate !== null && Array.isArray((candidate as Plan).steps)) return candidate as Plan;
  }
  return null;
}

function stepCommand(context: Record<string, unknown>): string | null {
  const command = context['command'];
  if (typeof command === 'string') return command;
  for (const candidate of [context['step'], context]) {
    if (typeof candidate !== 'object' || candidate === null) continue;
    const step = candidate as PlanStep;
    if (Array.isArray(step.run) || typeof step.shell === 'string') return commandOf(step);
  }
  return Array.isArray(command) ? commandOf({ id: '', run: command.map(String) }) : null;
}
