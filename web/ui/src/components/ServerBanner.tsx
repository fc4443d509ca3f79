import { useEffect, useState } from 'react';
import { useOutage } from '../app/health';
import { live, useConnection } from '../app/live';

// The indicator shows short interruptions; the banner is for those that last.
const PATIENCE_MS = 2_500;

export function ServerBanner() {
  const { status, lostAt, attempt, reason } = useConnection();
  const outage = useOutage();
  const [long, setLong] = useState(false);
  const waiting = status === 'reconnecting' || status === 'connecting';
  useEffect(() => {
    setLong(false);
    if (!waiting) return;
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [waiting, lostAt]);
  if (status === 'closed') {
    return (
      <div className="banner" data-tone="bad" role="alert">
        <span>Not connected. {reason} </span>
        <button type="button" className="textbutton" onClick={() => live.restart()}>Connect again</button>
      </div>
    );
  }
  if (outage !== null) {
    return (
      <div className="banner" data-tone="attention" role="alert">
        <strong>{outage.what}</strong> {outage.works}
      </div>
    );
  }
  if (!waiting || !long) return null;
  return (
    <div className="banner" data-tone="attention" role="alert">
      {navigator.onLine ? 'The server does not answer' : 'There is no network, and the server does not answer'}; trying again{attempt > 0 ? ` (attempt ${attempt})` : ''}. Running steps go on
      meanwhile, and this page catches up by itself.
    </div>
  );
}
