import type { PlanProblem } from '../../api/types';
import { errorText } from '../../api/client';
import type { Validation } from './useValidation';

interface Props {
  validation: Validation;
  onJump: (line: number, column: number) => void;
}

export function ProblemList({ validation, onJump }: Props) {
  const { state, problems } = validation;
  return (
    <section className="problems" aria-label="Problems in the plan">
      <p role="status" className={`problems-verdict ${state === 'valid' ? 'text-good' : state === 'invalid' ? 'text-bad' : 'muted'}`}>
        {state === 'empty' && 'Choose an example, or paste, drop or upload a plan.'}
        {state === 'checking' && 'Checking…'}
        {state === 'valid' && summary(validation)}
        {state === 'invalid' && (problems.length === 1 ? '1 problem' : `${problems.length} problems`)}
        {state === 'unchecked' && `The plan could not be checked: ${errorText(validation.error)}`}
      </p>
      {problems.length > 0 && (
        <ul>
          {problems.map((problem, index) => (
            <li key={index}><ProblemButton problem={problem} onJump={onJump} /></li>
          ))}
        </ul>
      )}
    </section>
  );
}

function ProblemButton({ problem, onJump }: { problem: PlanProblem; onJump: Props['onJump'] }) {
  const line = problem.line ?? 1;
  const column = problem.column ?? 1;
  return (
    <button type="button" className="problem" onClick={() => onJump(line, column)} aria-label={`Line ${line}, column ${column}: ${problem.message}`}>
      <span className="tabular mono muted">{line}:{column}</span>
      <span>
        {problem.message}
        {problem.location && <span className="muted mono"> {problem.location}</span>}
      </span>
    </button>
  );
}

function summary(validation: Validation): string {
  const steps = validation.result?.plan?.steps.length ?? 0;
  return steps > 0 ? `Valid: ${steps === 1 ? '1 step' : `${steps} steps`}` : 'Valid';
}
