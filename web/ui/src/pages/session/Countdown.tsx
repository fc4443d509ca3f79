import { useEffect, useRef, useState } from 'react';
import { secondsLeft } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { countdown } from '../../lib/format';

// The server's remaining seconds, counted down on the local monotonic clock.
export function Countdown({ deadline, onOver }: { deadline: Deadline; onOver?: () => void }) {
  const [left, setLeft] = useState(() => secondsLeft(deadline, performance.now()));
  const over = useRef(onOver);
  useEffect(() => {
    over.current = onOver;
  });
  useEffect(() => {
    let told = false;
    const tick = () => {
      const seconds = secondsLeft(deadline, performance.now());
      setLeft(seconds);
      if (seconds <= 0 && !told) {
        told = true;
        over.current?.();
      }
    };
    tick();
    const timer = setInterval(tick, 250);
    return () => clearInterval(timer);
  }, [deadline]);
  return (
    <span className={`countdown tabular ${left < 30 ? 'text-bad' : 'muted'}`} role="timer" aria-label="Time left to answer">
      {countdown(left)} left
    </span>
  );
}
