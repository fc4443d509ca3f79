import type { Plan } from '../../api/types';
import { Pieces } from '../../components/Pieces';
import { bytes } from '../../lib/format';
import { PlanSteps } from './PlanSteps';

export function PlanTab({ plan }: { plan: Plan | null }) {
  if (plan === null) return <p className="muted pad">No plan yet.</p>;
  const files = Object.entries(plan.files ?? {});
  return (
    <div className="plan">
      <PlanSteps plan={plan} />
      {files.length > 0 && <h3>Files that come with the plan</h3>}
      {files.map(([path, text]) => (
        <details key={path} className="subject">
          <summary><span className="mono"><Pieces text={path} /></span> <span className="muted tabular">{bytes(text.length)}</span></summary>
          <pre className="command"><Pieces text={text} /></pre>
        </details>
      ))}
    </div>
  );
}
