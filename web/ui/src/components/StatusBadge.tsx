import { sessionLabel, sessionTone } from '../lib/statuses';

export function StatusBadge({ status, phase }: { status: string; phase?: string }) {
  const tone = sessionTone(status, phase);
  return (
    <span className={`status tone-${tone}`} data-status={status} data-phase={phase}>
      <span className={`dot tone-${tone}${tone === 'live' ? ' pulse' : ''}`} aria-hidden />
      {sessionLabel(status, phase)}
    </span>
  );
}
