import { ActionIcon, Menu } from '@mantine/core';
import { IconDots, IconGitFork } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Pieces } from '../../components/Pieces';
import { StepIcon, STEP_LABELS } from '../../components/StepIcon';
import { bytes, duration } from '../../lib/format';
import { spelled } from '../../lib/hidden';
import { isLimit, reasonWords } from '../../lib/reasons';
import { useNow } from '../../lib/useNow';
import { progressOf, wasLost } from '../../session/merge';
import type { AttemptView, StepView } from '../../session/merge';
import { ProgressBar } from './ProgressBar';
import { Figures, LiveLine } from './StepFigures';

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
              aria-label={`${spelled(step.title)}: ${STEP_LABELS[step.status] ?? step.status}`}
              data-status={step.status}
              onClick={() => onSelect(selected === step.id ? null : step.id)}
            >
              <StepIcon status={step.status} />
              <span className="step-text">
                <span className="step-title ellipsis"><Pieces text={step.title} /></span>
                <StepDetail step={step} origin={origin} />
              </span>
              <StepClock step={step} />
            </button>
            <StepLive step={step} />
            {selected === step.id && <LastFigures step={step} />}
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
        <ActionIcon className="step-menu" size="sm" aria-label={`More for ${spelled(step.title)}`}><IconDots size={15} aria-hidden /></ActionIcon>
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
  else if (step.status === 'failed' && isLimit(last?.reason ?? null)) parts.push(reasonWords(last?.reason ?? ''));
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

// How far a running step has come, and what it uses.
function StepLive({ step }: { step: StepView }) {
  const last = step.attempts.at(-1);
  const under = step.status === 'running' || step.status === 'frozen' || (step.status === 'ready' && (last?.live?.waiting ?? null) !== null);
  const live = under ? last?.live : null;
  if (!live) return null;
  const progress = progressOf(step);
  return (
    <div className="step-under">
      {live.waiting !== null && <span className="step-note text-attention" title={live.waiting}>{live.waiting}</span>}
      {live.note !== null && <span className="step-note ellipsis" title={live.note}>{live.note}</span>}
      {progress !== null && <ProgressBar share={progress} label={`Progress of ${step.title}`} paused={step.status === 'frozen'} />}
      <LiveLine live={live} />
    </div>
  );
}

// The selected step's figures, when it is over; with several attempts, each has its own.
function LastFigures({ step }: { step: StepView }) {
  const last = step.attempts.at(-1);
  if (last === undefined || last.status === 'running' || step.attempts.length > 1 || step.inherited) return null;
  return <div className="step-under"><Figures attempt={last} /></div>;
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
          {attempt.status !== 'running' && <Figures attempt={attempt} />}
        </li>
      ))}
    </ul>
  );
}

function describeAttempt(attempt: AttemptView): string {
  if (wasLost(attempt)) return `cut: ${reasonWords(attempt.reason ?? 'worker_lost')}`;
  if (attempt.status === 'running') return 'running';
  if (attempt.status === 'succeeded') return 'succeeded';
  const how = isLimit(attempt.reason) ? reasonWords(attempt.reason ?? '') : (attempt.signal ?? (attempt.exitCode !== null ? `exit ${attempt.exitCode}` : reasonWords(attempt.reason ?? '')));
  return how === '' || how === attempt.status ? attempt.status : `${attempt.status}, ${how}`;
}
