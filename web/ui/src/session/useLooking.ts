import { useEffect } from 'react';
import type { RefObject } from 'react';
import { looksAt } from './following';

const ENOUGH = 0.3;

// Tells the others that a question is before this person: a good part of it, or of a screen full
// of it, is to be seen on a page that is in front.
export function useLooking(sessionId: string, approvalId: string, element: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const target = element.current;
    if (target === null) return;
    const observer = new IntersectionObserver(
      (seen) => {
        const latest = seen.at(-1);
        if (latest === undefined) return;
        const screenful = latest.intersectionRect.height / (latest.rootBounds?.height ?? window.innerHeight);
        looksAt(sessionId, approvalId, Math.max(latest.intersectionRatio, screenful) >= ENOUGH);
      },
      { threshold: [0, 0.1, 0.2, ENOUGH, 0.6] },
    );
    observer.observe(target);
    return () => {
      observer.disconnect();
      looksAt(sessionId, approvalId, false);
    };
  }, [sessionId, approvalId, element]);
}
