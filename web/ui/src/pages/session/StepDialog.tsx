import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import type { Plan, PlanStep, StepEdit } from '../../api/types';
import { changedSections, editedPlan, planText } from '../../lib/planText';
import { editOf, formOf, problemsOf } from '../../lib/stepForm';
import { useValidation } from '../create/useValidation';
import { EditDialog } from './EditDialog';
import { StepFields } from './StepFields';

interface Props {
  title: string;
  head?: ReactNode;
  step: PlanStep;
  plan: Plan | null; // of the run
  feedback: string;
  closed: string | null;
  note: string;
  sendLabel: string;
  sending: boolean;
  error: unknown;
  onSend: (edit: StepEdit, feedback: string) => void;
  onClose: () => void;
}

export function StepDialog({ step, plan, feedback: said, closed, note, onSend, ...rest }: Props) {
  // What it was about when the dialog opened; an edit elsewhere meanwhile makes the approval void.
  const [base] = useState(() => {
    const whole: Plan = plan ?? { steps: [step] };
    return { step, plan: { ...whole, steps: whole.steps.map((other) => (other.id === step.id ? step : other)) } };
  });
  const [form, setForm] = useState(() => formOf(base.step, base.plan.files));
  const [feedback, setFeedback] = useState(said);
  const problems = useMemo(() => problemsOf(form, base.step), [form, base]);
  const edit = useMemo(() => editOf(form, base.step, base.plan.files), [form, base]);
  const after = useMemo(() => (edit === null ? base.plan : editedPlan(base.plan, base.step.id, edit)), [edit, base]);
  const wrong = Object.keys(problems).length > 0;
  const validation = useValidation(edit === null || wrong ? '' : planText(after));
  const refused = validation.state === 'invalid' ? validation.problems : [];
  const blocked = closed ?? (edit === null ? 'Nothing has changed yet.' : wrong || refused.length > 0 || validation.state === 'checking' ? '' : null);
  const filesNote = edit?.files === undefined ? '' : ' Other steps that are waiting or approved are asked about again, because their files change.';
  return (
    <EditDialog
      {...rest}
      changes={changedSections(base.plan, after)}
      blocked={blocked}
      feedback={feedback}
      onFeedback={setFeedback}
      note={note + filesNote}
      onSend={() => {
        if (edit !== null) onSend(edit, feedback);
      }}
    >
      <StepFields form={form} problems={problems} onChange={setForm} />
      {refused.length > 0 && (
        <ul role="alert" className="text-bad refused">
          {refused.map((problem, index) => <li key={index}>{problem.message} {problem.location && <span className="muted mono">{problem.location}</span>}</li>)}
        </ul>
      )}
    </EditDialog>
  );
}
