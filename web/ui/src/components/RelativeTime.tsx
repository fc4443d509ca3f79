import { absoluteTime, relativeTime } from '../lib/format';
import { useNow } from '../lib/useNow';

export function RelativeTime({ iso }: { iso: string | null | undefined }) {
  const now = useNow(5_000);
  if (!iso) return null;
  return <time dateTime={iso} title={absoluteTime(iso)}>{relativeTime(iso, now)}</time>;
}
