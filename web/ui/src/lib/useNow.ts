import { useEffect, useState } from 'react';

// The wall clock, updated every so many milliseconds. For "3m ago", never for deadlines.
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
