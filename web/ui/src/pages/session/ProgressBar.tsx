import { percent } from '../../lib/format';

interface Props {
  share: number; // 0 to 1
  label: string;
  text?: string; // instead of the percentage
  paused?: boolean;
}

export function ProgressBar({ share, label, text, paused = false }: Props) {
  const words = text ?? percent(share);
  return (
    <span className="progress tabular" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 100)} aria-valuetext={words} data-paused={paused || undefined}>
      <span className="progress-track"><span className="progress-done" style={{ transform: `scaleX(${share})` }} /></span>
      <span className="progress-text">{words}</span>
    </span>
  );
}
