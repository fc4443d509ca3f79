import { failureWords, sessionLabel, sessionTone } from '../lib/statuses';
import type { Failures } from '../lib/statuses';

export function StatusBadge({ status, phase, failures }: { status: string; phase?: string; failures?: Failures }) {
  const marred = status === 'completed' && failures !== undefined && failures.failed > 0;
  const tone = marred ? 'attention' : sessionTone(status, phase);
  return (
    <span className={`status tone-${tone}`} data-status={status} data-phase={phase}>
      <span className={`dot tone-${tone}${tone === 'live' ? ' pulse' : ''}`} aria-hidden />
      <span className={marred ? 'text-attention' : undefined}>{sessionLabel(status, phase)}{marred && `, ${failureWords(failures)}`}</span>
    </span>
  );
}
