import { useEffect, useRef } from 'react';

const EVERY_MS = 400;

// Runs refresh when the version grows: at once the first time, then at most
// every EVERY_MS, and always once after the last change.
export function useThrottled(version: number, refresh: () => void): void {
  const latest = useRef(refresh);
  const lastRun = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    latest.current = refresh;
  });
  useEffect(() => {
    if (version === 0 || timer.current !== null) return;
    const wait = Math.max(0, lastRun.current + EVERY_MS - performance.now());
    timer.current = setTimeout(() => {
      timer.current = null;
      lastRun.current = performance.now();
      latest.current();
    }, wait);
  }, [version]);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    },
    [],
  );
}
