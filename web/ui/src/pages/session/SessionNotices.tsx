import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { errorText } from '../../api/client';
import { RelativeTime } from '../../components/RelativeTime';
import { holeWords } from '../../session/store';
import type { SessionSnapshot } from '../../session/store';

// The session was deleted while somebody was viewing it.
export function DeletedNotice({ name, deleted }: { name: string; deleted: string }) {
  return (
    <div className="notice" role="alert">
      <h1>This session was deleted</h1>
      <p>
        “{name}” was deleted{deleted === '' ? ' while you were looking at it' : <> <RelativeTime iso={deleted} /></>}.
      </p>
      <p className="muted">Its running steps were stopped. You can no longer do anything here.</p>
      <Button variant="default" renderRoot={(props) => <Link to="/" {...props} />}>All sessions</Button>
    </div>
  );
}

// Events were missed, and what they did could not be read.
export function StaleNotice({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  return (
    <p className="lognote" role="alert">
      This page may show what is no longer true, since the session could not be read again. {errorText(error)}{' '}
      <Button variant="default" size="compact-xs" onClick={onRetry}>Retry</Button>
    </p>
  );
}

// What the page showed that is no longer true.
export function LogNotices({ snapshot }: { snapshot: SessionSnapshot }) {
  const { rewound, holes } = snapshot;
  return (
    <>
      {rewound !== null && (
        <p className="lognote" role="alert">
          The records of this session went back to event {rewound.head.toLocaleString('en')}, as after a restore of a backup; this page had
          seen {rewound.seen.toLocaleString('en')}. What came after is not there any more. The page has begun again with what there is.
        </p>
      )}
      {holes.length > 0 && (
        <p className="lognote" role="alert">
          Lines are missing in the output: {holes.slice(0, 3).map(holeWords).join('; ')}
          {holes.length > 3 ? ` and ${holes.length - 3} more stretches` : ''}. The server has lost them; what comes after is here.
        </p>
      )}
    </>
  );
}
