import type { Deadline } from '../lib/countdown';

const WORTH_MS = 500; // less is a delay on the way, or not worth a repaint

// The database's clock, by which deadlines are measured, told on this page's monotonic clock. The page's own wall clock
// may be minutes off and is not used. The monotonic clock may stand still while a computer sleeps, so everything that
// the server stamps later can only move this one on.
export class ServerClock {
  private ahead: number | null = null; // of the monotonic clock, in ms
  private steps = 0;
  private skew: number | null = null; // of the web server's clock, which stamps what is not stored

  constructor(private readonly monotonic: () => number = () => performance.now()) {}

  // Grows when the clock was put right by so much that deadlines are told anew.
  get moved(): number {
    return this.steps;
  }

  // now is what the database's clock showed a moment ago.
  read(now: number): void {
    this.ahead = now - this.monotonic();
    this.steps += 1;
  }

  // An event happened at this time, so it is later now.
  atLeast(time: number): void {
    if (this.ahead !== null && Number.isFinite(time)) this.advance(time - this.monotonic());
  }

  // now is what the web server's clock shows. How far it is from the database's is learned the first time.
  heard(now: number): void {
    if (this.ahead === null) return;
    const ahead = now - this.monotonic();
    this.skew ??= ahead - this.ahead;
    this.advance(ahead - this.skew);
  }

  private advance(ahead: number): void {
    if (this.ahead === null || ahead < this.ahead + WORTH_MS) return;
    this.ahead = ahead;
    this.steps += 1;
  }

  // When a time of the server's comes, on the monotonic clock.
  deadline(time: string): Deadline {
    return { at: Date.parse(time) - (this.ahead ?? 0) };
  }
}
