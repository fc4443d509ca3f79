import type { Plan, PlanStep, Subject } from '../../api/types';
import { BoundText } from '../../components/BoundText';
import { Pieces } from '../../components/Pieces';
import { fieldId, fieldsOf, fileId, filesOf, FOLD_STEPS, isLong, othersOf, STEPS_ID } from '../../lib/bound';
import type { Field } from '../../lib/bound';

interface Props {
  plan: Plan;
  asks: Subject['asks'];
  open: ReadonlySet<string>; // which of the folded parts are open
  onToggle: (id: string) => void;
}

// Everything a yes would allow: the steps in full, and every file that they may read.
export function BoundPlan({ plan, asks, open, onToggle }: Props) {
  const many = plan.steps.length > FOLD_STEPS;
  const shown = many && !open.has(STEPS_ID) ? plan.steps.slice(0, FOLD_STEPS) : plan.steps;
  const files = filesOf(plan);
  const foldOf = (id: string, text: string) => (isLong(text) ? { open: open.has(id), onToggle: () => onToggle(id) } : undefined);
  const field = (owner: string, { name, text, mono }: Field) => (
    <div key={name} className={mono ? 'bound-field bound-field-wide' : 'bound-field'}>
      <dt>{name}</dt>
      <dd>{mono ? <BoundText label={name} text={text} numbered={false} fold={foldOf(fieldId(owner, name), text)} /> : <Pieces text={text} />}</dd>
    </div>
  );
  const others = othersOf(plan);
  return (
    <div className="bound-plan">
      <ol className="bound-steps" aria-label="Steps, exactly as they will run">
        {shown.map((step) => (
          <li key={step.id}>
            {(plan.steps.length > 1 || step.title) && <StepName step={step} />}
            <dl className="bound-fields">{fieldsOf(step, asks?.[step.id]).map((entry) => field(step.id, entry))}</dl>
          </li>
        ))}
      </ol>
      {many && (
        <button type="button" className="bound-fold" aria-expanded={shown.length === plan.steps.length} onClick={() => onToggle(STEPS_ID)}>
          {shown.length === plan.steps.length ? 'Show fewer steps' : `Show all ${plan.steps.length.toLocaleString('en')} steps`}
        </button>
      )}
      {others.length > 0 && <dl className="bound-fields">{others.map((entry) => field('', entry))}</dl>}
      {files.length > 0 && (
        <section aria-label="Files that come with it">
          <h4 className="bound-files">{files.length === 1 ? '1 file comes with it' : `${files.length} files come with it`}</h4>
          {files.map(([path, text]) => (
            <div key={path} className="bound-file">
              <p className="mono bound-path"><Pieces text={path} /></p>
              {text === '' ? <p className="muted">empty</p> : <BoundText label={path} text={text} numbered fold={foldOf(fileId(path), text)} />}
            </div>
          ))}
        </section>
      )}
    </div>
  );
}

function StepName({ step }: { step: PlanStep }) {
  return (
    <p className="bound-step">
      <strong><Pieces text={step.title || step.id} /></strong>
      {step.title && step.title !== step.id && <span className="muted mono">{step.id}</span>}
    </p>
  );
}
