import { useEffect } from 'react';
import type { RefObject } from 'react';
import { looksAt } from './following';

const ENOUGH = 0.3;

// Tells the others that this person is looking at a question: a good part of it, or a good part of
// the screen, is visible on a page in front.
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
