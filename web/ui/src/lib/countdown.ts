// A deadline that the server sends as seconds left, kept on the local monotonic
// clock. The client's wall clock may be minutes off and is not used.

export interface Deadline {
  readonly at: number; // monotonic ms
}

export function deadlineFrom(remainingSeconds: number, monotonicNow: number): Deadline {
  return { at: monotonicNow + Math.max(0, remainingSeconds) * 1000 };
}

export function secondsLeft(deadline: Deadline, monotonicNow: number): number {
  return Math.max(0, (deadline.at - monotonicNow) / 1000);
}
