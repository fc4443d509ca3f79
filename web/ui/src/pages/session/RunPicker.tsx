import { NativeSelect } from '@mantine/core';
import type { Run } from '../../api/types';
import { failuresOf, failureWords, sessionLabel } from '../../lib/statuses';
import { runProgress } from '../../session/merge';
import type { StepView } from '../../session/merge';
import { ProgressBar } from './ProgressBar';

interface Props {
  runs: readonly Run[]; // the latest first
  run: Run | null;
  steps: readonly StepView[]; // of that run
  onPick: (number: number | null) => void;
}

export function RunPicker({ runs, run, steps, onPick }: Props) {
  const latest = runs[0];
  if (run === null || latest === undefined) return <h2>Steps</h2>;
  return (
    <div className="runpicker">
      {runs.length === 1 ? <h2>Steps</h2> : (
        <NativeSelect
          aria-label="Run"
          size="xs"
          data={runs.map((r) => ({ value: String(r.number), label: labelOf(r, r === latest) }))}
          value={String(run.number)}
          onChange={(event) => onPick(Number(event.currentTarget.value) === latest.number ? null : Number(event.currentTarget.value))}
        />
      )}
      {run.status === 'active' && steps.length > 1 && <RunProgress steps={steps} />}
      {run.message && <p className="run-message" title={run.message}><span className="spoken">Started by the message: </span>“{run.message}”</p>}
      {run !== latest && (
        <p className="run-note">
          <span>{run.error || 'An earlier run.'}</span>
          <button type="button" className="textbutton" onClick={() => onPick(null)}>Go to run {latest.number}</button>
        </p>
      )}
    </div>
  );
}

function RunProgress({ steps }: { steps: readonly StepView[] }) {
  const { done, share } = runProgress(steps);
  return <ProgressBar share={share} label="Progress of the run" text={`${done} of ${steps.length}`} />;
}

const EXCERPT = 40;

function labelOf(run: Run, latest: boolean): string {
  const said = (run.message ?? '').replace(/\s+/g, ' ').trim();
  const excerpt = said.length > EXCERPT ? `${said.slice(0, EXCERPT - 1)}…` : said;
  const failures = failuresOf(run);
  const marred = run.status === 'completed' && failures.failed > 0 ? `, ${failureWords(failures)}` : '';
  const state = run.status === 'active' ? 'Under way' : sessionLabel(run.status) + marred;
  return [`Run ${run.number}${latest ? ' (latest)' : ''}`, state, excerpt === '' ? '' : `“${excerpt}”`].filter(Boolean).join(' · ');
}
