import { useEffect, useRef, useState } from 'react';
import { secondsLeft } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { countdown } from '../../lib/format';

// The time left until a deadline, counted down on this page's monotonic clock.
export function Countdown({ deadline: { at }, onOver }: { deadline: Deadline; onOver?: () => void }) {
  const [left, setLeft] = useState(() => secondsLeft({ at }, performance.now()));
  const over = useRef(onOver);
  useEffect(() => {
    over.current = onOver;
  });
  useEffect(() => {
    let told = false;
    const tick = () => {
      const seconds = secondsLeft({ at }, performance.now());
      setLeft(seconds);
      if (seconds <= 0 && !told) {
        told = true;
        over.current?.();
      }
    };
    tick();
    const timer = setInterval(tick, 250);
    return () => clearInterval(timer);
  }, [at]);
  return (
    <span className={`countdown tabular ${left < 30 ? 'text-bad' : 'muted'}`} role="timer" aria-label="Time left to answer">
      {countdown(left)} left
    </span>
  );
}
