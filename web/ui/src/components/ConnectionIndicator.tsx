import { useEffect, useState } from 'react';
import { live, useConnection } from '../app/live';

// Seconds until the next try, on the monotonic clock.
function useSecondsUntil(at: number | null): number | null {
  const [, tick] = useState(0);
  useEffect(() => {
    if (at === null) return;
    const timer = setInterval(() => tick((n) => n + 1), 250);
    return () => clearInterval(timer);
  }, [at]);
  return at === null ? null : Math.max(0, Math.ceil((at - performance.now()) / 1000));
}

export function ConnectionIndicator() {
  const { status, attempt, retryAt } = useConnection();
  const seconds = useSecondsUntil(retryAt);
  const label =
    status === 'live'
      ? 'Live'
      : status === 'reconnecting'
        ? `Reconnecting, attempt ${attempt}${seconds !== null && seconds > 0 ? ` in ${seconds}s` : ''}`
        : status === 'closed'
          ? 'Offline'
          : 'Connecting';
  const tone = status === 'live' ? 'good' : status === 'closed' ? 'bad' : 'attention';
  return (
    <span className="conn" data-status={status}>
      <span className={`dot tone-${tone}`} aria-hidden />
      <span role="status" aria-label={`Connection: ${status}`} className="conn-label">{label}</span>
      {status === 'reconnecting' && seconds !== null && seconds > 1 && (
        <button type="button" className="textbutton" onClick={() => live.nudge()}>Now</button>
      )}
    </span>
  );
}
