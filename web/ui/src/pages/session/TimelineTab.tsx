import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { memo, useState } from 'react';
import { errorText } from '../../api/client';
import { clockTime } from '../../lib/format';
import { readOlder } from '../../session/olderStory';
import type { SessionStore } from '../../session/store';
import { describeRow } from '../../session/timeline';
import type { TimelineRow } from '../../session/timeline';

const PAGE = 300;

// Newest first, so that what happens now is in view. The older part of a very long story is
// read on request.
export function TimelineTab({ sessionId, store }: { sessionId: string; store: SessionStore; version: number }) {
  const [limit, setLimit] = useState(PAGE);
  const reading = useMutation({ mutationFn: () => readOlder(sessionId, store) });
  const rows = store.timeline.slice(-limit).reverse();
  const older = store.timeline.length - rows.length;
  if (rows.length === 0) return <p className="muted pad">No events yet.</p>;
  return (
    <div className="timeline">
      <ol reversed aria-label="Events">
        {rows.map((row) => <Row key={row.firstSeq} row={row} />)}
      </ol>
      {older > 0 && <Button variant="default" onClick={() => setLimit(limit + PAGE)}>Show older ({older.toLocaleString('en')})</Button>}
      {older === 0 && store.olderUntil > 0 && (
        <Button variant="default" loading={reading.isPending} onClick={() => reading.mutate(undefined, { onSuccess: () => setLimit(limit + PAGE) })}>Show older</Button>
      )}
      {reading.isError && <p role="alert" className="text-bad">{errorText(reading.error)}</p>}
    </div>
  );
}

const Row = memo(function Row({ row }: { row: TimelineRow }) {
  const seq = row.firstSeq === row.lastSeq ? String(row.firstSeq) : `${row.firstSeq}–${row.lastSeq}`;
  return (
    <li className="event">
      <span className="muted tabular event-seq">{seq}</span>
      <span className="muted tabular event-time">{clockTime(row.timestamp)}</span>
      <span className="event-type mono">{row.type}</span>
      <span className="event-step">{row.stepId ?? ''}</span>
      <span className="event-text muted">{describeRow(row)}</span>
    </li>
  );
});
