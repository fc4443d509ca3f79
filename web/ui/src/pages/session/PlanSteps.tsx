import type { Plan, PlanStep } from '../../api/types';
import { Pieces } from '../../components/Pieces';
import { commandOf } from '../../session/merge';

export function PlanSteps({ plan }: { plan: Plan }) {
  return (
    <ol className="plansteps">
      {plan.steps.map((step) => (
        <li key={step.id}>
          <div className="plansteps-head">
            <strong><Pieces text={step.title || step.id} /></strong>
            <span className="muted">{facts(step)}</span>
          </div>
          <pre className="command"><Pieces text={commandOf(step) ?? ''} /></pre>
        </li>
      ))}
    </ol>
  );
}

function facts(step: PlanStep): string {
  return [
    (step.needs ?? []).length > 0 ? `after ${(step.needs ?? []).join(', ')}` : '',
    step.timeout ? `timeout ${step.timeout}` : '',
    step.retries ? `${step.retries} ${step.retries === 1 ? 'retry' : 'retries'}` : '',
    step.approval ? 'asks first' : '',
  ]
    .filter(Boolean)
    .join(' · ');
}
