// A moment on this page's monotonic clock, see ServerClock.
export interface Deadline {
  readonly at: number; // ms
}

export function secondsLeft(deadline: Deadline, monotonicNow: number): number {
  return Math.max(0, (deadline.at - monotonicNow) / 1000);
}
