import { bytes, duration } from '../../lib/format';
import type { LiveFigures } from '../../session/fold';
import type { AttemptView } from '../../session/merge';

// What a running step uses now, on one line.
export function LiveLine({ live }: { live: LiveFigures }) {
  const parts = [
    `cpu ${duration(live.cpuSeconds * 1000)}`,
    live.rssBytes > 0 ? bytes(live.rssBytes) : '',
    live.processes === 1 ? '1 process' : `${live.processes} processes`,
    live.readBytes > 0 ? `read ${bytes(live.readBytes)}` : '',
    live.writeBytes > 0 ? `wrote ${bytes(live.writeBytes)}` : '',
  ];
  return <span className="step-live muted tabular">{parts.filter(Boolean).map((part) => <span key={part}>{part}</span>)}</span>;
}

// What an attempt has used in all. Disk use is left out when it is not known.
export function Figures({ attempt }: { attempt: AttemptView }) {
  const figures: [string, string][] = [
    ['wall time', duration(attempt.durationMs)],
    ['cpu', attempt.cpuSeconds === null ? '' : duration(attempt.cpuSeconds * 1000)],
    ['peak memory', attempt.maxRssBytes ? bytes(attempt.maxRssBytes) : ''],
    ['read', attempt.readBytes ? bytes(attempt.readBytes) : ''],
    ['wrote', attempt.writeBytes ? bytes(attempt.writeBytes) : ''],
    ['host', attempt.host ?? ''],
  ];
  return (
    <dl className="figures tabular" aria-label={`Figures of attempt ${attempt.number}`}>
      {figures.filter(([, value]) => value !== '').map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
