import { Button } from '@mantine/core';
import { memo, useState } from 'react';
import { clockTime } from '../../lib/format';
import type { SessionStore } from '../../session/store';
import { describeRow } from '../../session/timeline';
import type { TimelineRow } from '../../session/timeline';

const PAGE = 300;

// Newest first, so that what happens now is in sight.
export function TimelineTab({ store }: { store: SessionStore; version: number }) {
  const [limit, setLimit] = useState(PAGE);
  const rows = store.timeline.slice(-limit).reverse();
  const older = store.timeline.length - rows.length;
  if (rows.length === 0) return <p className="muted pad">No events yet.</p>;
  return (
    <div className="timeline">
      <ol reversed aria-label="Events">
        {rows.map((row) => <Row key={row.firstSeq} row={row} />)}
      </ol>
      {older > 0 && <Button variant="default" onClick={() => setLimit(limit + PAGE)}>Show older ({older.toLocaleString('en')})</Button>}
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
