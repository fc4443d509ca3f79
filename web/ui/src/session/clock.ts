import type { Deadline } from '../lib/countdown';

const WORTH_MS = 500; // less is a delay on the way, or not worth a repaint

// The database's clock, by which deadlines are measured, told on this page's monotonic clock. What the page's own wall
// clock shows may be minutes off and is not used. The monotonic clock may stand still while a computer sleeps, so
// everything that the server stamps later can only move this one on.
export class ServerClock {
  private ahead: number | null = null; // of the monotonic clock, in ms
  private steps = 0;
  private skew = 0; // of the web server's clock, which stamps what is not stored
  private connection: string | null = null; // to that server
  private wallAhead = 0; // of the monotonic clock, when the server was last heard

  constructor(
    private readonly monotonic: () => number = () => performance.now(),
    private readonly wall: () => number = () => Date.now(),
  ) {}

  // Grows when the clock was put right by so much that deadlines are told anew.
  get moved(): number {
    return this.steps;
  }

  // now is what the database's clock showed a moment ago.
  read(now: number): void {
    this.ahead = now - this.monotonic();
    this.connection = null; // the skew is learned again
    this.steps += 1;
  }

  // An event happened at this time, so it is later now.
  atLeast(time: number): void {
    if (this.ahead !== null && Number.isFinite(time)) this.advance(time - this.monotonic());
  }

  // now is what the clock of the web server shows that this connection leads to. Another one's clock may be ahead. So
  // what it shows at first counts as time that went by in a sleep only as far as the wall clock went on, too.
  heard(now: number, connection: string): void {
    if (this.ahead === null) return;
    const monotonic = this.monotonic();
    const wallAhead = this.wall() - monotonic;
    const slept = wallAhead - this.wallAhead;
    this.wallAhead = wallAhead;
    const ahead = now - monotonic;
    if (connection === this.connection) {
      this.advance(ahead - this.skew);
      return;
    }
    if (this.connection !== null) this.advance(Math.min(ahead - this.skew, this.ahead + slept));
    this.connection = connection;
    this.skew = ahead - this.ahead;
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
