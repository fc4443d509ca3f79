import { ActionIcon, Menu } from '@mantine/core';
import { IconDots, IconGitFork } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { StepIcon, STEP_LABELS } from '../../components/StepIcon';
import { bytes, duration } from '../../lib/format';
import { useNow } from '../../lib/useNow';
import { wasLost } from '../../session/merge';
import type { AttemptView, StepView } from '../../session/merge';

interface Props {
  steps: StepView[];
  selected: string | null;
  onSelect: (stepId: string | null) => void;
  head: ReactNode;
  origin: string | null; // the name of the session that this one was forked from
  onFork: (step: StepView) => void;
}

export function StepList({ steps, selected, onSelect, head, origin, onFork }: Props) {
  return (
    <section className="steps" aria-label="Steps">
      {head}
      {steps.length === 0 && <p className="muted">The plan has not been read yet.</p>}
      <ol>
        {steps.map((step) => (
          <li key={step.key} className="step-item">
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
                <StepDetail step={step} origin={origin} />
              </span>
              <StepClock step={step} />
            </button>
            {step.status === 'succeeded' && <StepMenu step={step} onFork={onFork} />}
            {step.attempts.length > 1 && <Attempts attempts={step.attempts} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

function StepMenu({ step, onFork }: { step: StepView; onFork: (step: StepView) => void }) {
  return (
    <Menu position="bottom-end" shadow="md">
      <Menu.Target>
        <ActionIcon className="step-menu" size="sm" aria-label={`More for ${step.title}`}><IconDots size={15} aria-hidden /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconGitFork size={14} aria-hidden />} onClick={() => onFork(step)}>Fork from here…</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function StepDetail({ step, origin }: { step: StepView; origin: string | null }) {
  const last = step.attempts.at(-1);
  const parts: string[] = [];
  if (step.inherited) return <span className="step-detail muted">done in {origin === null ? 'the session it was forked from' : `“${origin}”`}</span>;
  if (step.status !== 'succeeded') parts.push(STEP_LABELS[step.status] ?? step.status);
  if (last?.exitCode !== null && last?.exitCode !== undefined && last.exitCode !== 0) parts.push(`exit ${last.exitCode}`);
  if (last?.signal) parts.push(last.signal);
  if (step.reason && step.reason !== 'exit' && step.reason !== 'signal') parts.push(reasonWords(step.reason));
  if (step.status === 'succeeded' && last !== undefined) {
    parts.push(`exit ${last.exitCode ?? 0}`);
    if (last.maxRssBytes) parts.push(bytes(last.maxRssBytes));
  }
  if (step.attempts.length > 1) parts.push(`${step.attempts.length} attempts`);
  return (
    <span className="step-detail muted tabular">
      {parts.join(' · ')}
      {step.retryAt !== null && <NextTry at={step.retryAt} />}
    </span>
  );
}

// A reason is a sentence of the server's, or one of its words.
function reasonWords(reason: string): string {
  return /^[a-z]+(?:_[a-z]+)*$/.test(reason) ? reason.replaceAll('_', ' ') : reason.replace(/"([^"]*)"/g, '“$1”');
}

const LONGEST_BACKOFF_S = 60;

function NextTry({ at }: { at: number }) {
  const now = useNow(500);
  const seconds = Math.min(LONGEST_BACKOFF_S, Math.ceil((at - now) / 1000));
  return <span className="text-attention"> · {seconds > 0 ? `next try in ${seconds} s` : 'next try now'}</span>;
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
