import { StepIcon, STEP_LABELS } from '../../components/StepIcon';
import { bytes, duration } from '../../lib/format';
import { useNow } from '../../lib/useNow';
import { wasLost } from '../../session/merge';
import type { AttemptView, StepView } from '../../session/merge';

interface Props {
  steps: StepView[];
  selected: string | null;
  onSelect: (stepId: string | null) => void;
}

export function StepList({ steps, selected, onSelect }: Props) {
  return (
    <section className="steps" aria-label="Steps">
      <h2>Steps</h2>
      {steps.length === 0 && <p className="muted">The plan has not been read yet.</p>}
      <ol>
        {steps.map((step) => (
          <li key={step.key}>
            <button
              type="button"
              className="step"
              aria-pressed={selected === step.id}
              aria-label={`${step.title}: ${STEP_LABELS[step.status] ?? step.status}`}
              data-status={step.status}
              onClick={() => onSelect(selected === step.id ? null : step.id)}
            >
              <StepIcon status={step.status} />
              <span className="step-text">
                <span className="step-title ellipsis">{step.title}</span>
                <StepDetail step={step} />
              </span>
              <StepClock step={step} />
            </button>
            {step.attempts.length > 1 && <Attempts attempts={step.attempts} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

function StepDetail({ step }: { step: StepView }) {
  const last = step.attempts.at(-1);
  const parts: string[] = [];
  if (step.status !== 'succeeded') parts.push(STEP_LABELS[step.status] ?? step.status);
  if (last?.exitCode !== null && last?.exitCode !== undefined && last.exitCode !== 0) parts.push(`exit ${last.exitCode}`);
  if (last?.signal) parts.push(last.signal);
  if (step.reason) parts.push(step.reason.replaceAll('_', ' '));
  if (step.status === 'succeeded' && last !== undefined) {
    parts.push(`exit ${last.exitCode ?? 0}`);
    if (last.maxRssBytes) parts.push(bytes(last.maxRssBytes));
  }
  if (step.attempts.length > 1) parts.push(`${step.attempts.length} attempts`);
  return <span className="step-detail muted tabular">{parts.join(' · ')}</span>;
}

function StepClock({ step }: { step: StepView }) {
  const last = step.attempts.at(-1);
  const running = last?.status === 'running' && (step.status === 'running' || step.status === 'frozen');
  if (last === undefined) return null;
  if (running) return <Ticking since={last.startedAt} />;
  return <span className="muted tabular step-clock">{duration(last.durationMs)}</span>;
}

function Ticking({ since }: { since: string | null }) {
  const now = useNow(1_000);
  if (since === null) return null;
  return <span className="muted tabular step-clock">{duration(Math.max(0, Math.floor((now - Date.parse(since)) / 1000) * 1000))}</span>;
}

function Attempts({ attempts }: { attempts: AttemptView[] }) {
  return (
    <ul className="attempts" aria-label="Attempts">
      {attempts.map((attempt) => (
        <li key={attempt.number} className={wasLost(attempt) ? 'attempt-lost' : undefined}>
          <span className="tabular">Attempt {attempt.number}</span>
          <span>{describeAttempt(attempt)}</span>
          <span className="tabular step-clock">{duration(attempt.durationMs)}</span>
        </li>
      ))}
    </ul>
  );
}

function describeAttempt(attempt: AttemptView): string {
  if (wasLost(attempt)) return 'cut: its worker was lost';
  if (attempt.status === 'running') return 'running';
  if (attempt.status === 'succeeded') return 'succeeded';
  const how = attempt.signal ?? (attempt.exitCode !== null ? `exit ${attempt.exitCode}` : (attempt.reason ?? '').replaceAll('_', ' '));
  return how === '' ? attempt.status : `${attempt.status}, ${how}`;
}
