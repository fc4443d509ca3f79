import { useRouterState } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { useOutage } from '../app/health';
import { live, useConnection } from '../app/live';
import { useFollowed, useSnapshot } from '../session/useSessionStore';

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
  const outage = useOutage();
  const seconds = useSecondsUntil(retryAt);
  const label =
    status === 'live'
      ? 'Live'
      : status === 'reconnecting'
        ? `Reconnecting, attempt ${attempt}${seconds !== null && seconds > 0 ? ` in ${seconds}s` : ''}`
        : status === 'closed'
          ? 'Offline'
          : 'Connecting';
  const tone = status === 'live' ? (outage === null ? 'good' : 'attention') : status === 'closed' ? 'bad' : 'attention';
  return (
    <span className="conn" data-status={status}>
      <span className={`dot tone-${tone}`} aria-hidden />
      <span role="status" aria-label={`Connection: ${status}`} className="conn-label">{label}</span>
      {status === 'live' && <Seen />}
      {status === 'reconnecting' && seconds !== null && seconds > 1 && (
        <button type="button" className="textbutton" onClick={() => live.nudge()}>Now</button>
      )}
    </span>
  );
}

const BEHIND_MS = 700; // events under way for a moment are not lag

// How much of the viewed session's log has arrived.
function Seen() {
  const id = useRouterState({ select: (state) => /^\/sessions\/([^/]+)/.exec(state.location.pathname)?.[1] ?? null });
  const { seq, head } = useSnapshot(useFollowed(id));
  const behind = useLasting(head > seq, BEHIND_MS);
  if (id === null || seq === 0) return null;
  return (
    <span className="conn-seen" title="The number of the newest event on this page">
      · {behind ? `catching up, #${seq} of ${head}` : `#${seq}`}
    </span>
  );
}

// True once now has been true for this long.
function useLasting(now: boolean, ms: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    setLasting(false);
    if (!now) return;
    const timer = setTimeout(() => setLasting(true), ms);
    return () => clearTimeout(timer);
  }, [now, ms]);
  return now && lasting;
}
