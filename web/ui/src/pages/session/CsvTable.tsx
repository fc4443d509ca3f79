import { useMemo } from 'react';
import { parseCSV } from '../../lib/csv';

const ROWS = 200;

export function CsvTable({ text, separator, name }: { text: string; separator: string; name: string }) {
  const { rows, truncated } = useMemo(() => parseCSV(text, ROWS + 1, separator), [text, separator]);
  const [head, ...body] = rows;
  if (head === undefined) return <p className="muted">The file is empty.</p>;
  return (
    <div className="csv" tabIndex={0} role="region" aria-label={`Table of ${name}`}>
      <table>
        <thead><tr>{head.map((cell, i) => <th key={i} scope="col">{cell}</th>)}</tr></thead>
        <tbody>
          {body.map((row, r) => <tr key={r}>{row.map((cell, i) => <td key={i}>{cell}</td>)}</tr>)}
        </tbody>
      </table>
      {truncated && <p className="muted">The first {ROWS} rows.</p>}
    </div>
  );
}
