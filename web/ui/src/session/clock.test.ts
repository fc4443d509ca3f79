import { describe, expect, it } from 'vitest';
import { ServerClock } from './clock';

const DATABASE = Date.parse('2026-01-01T00:00:00.000Z');
const MINUTE = 60_000;

// A page whose monotonic clock shows 1000 when the database's shows DATABASE, and whose wall clock is ten minutes off.
function pageClock() {
  const at = { monotonic: 1_000, passed: 0, wall: DATABASE - 10 * MINUTE };
  const clock = new ServerClock(() => at.monotonic, () => at.wall);
  clock.read(DATABASE);
  const left = () => clock.deadline(new Date(DATABASE + 60 * MINUTE).toISOString()).at - at.monotonic;
  return {
    clock,
    left, // until an hour after the beginning
    pass(ms: number) {
      at.monotonic += ms;
      at.wall += ms;
      at.passed += ms;
    },
    sleep(ms: number) {
      at.wall += ms;
      at.passed += ms;
    },
    setWall(ms: number) {
      at.wall += ms;
    },
    hear(connection: string, skew: number) {
      clock.heard(DATABASE + at.passed + skew, connection);
    },
  };
}

describe("the server's clock", () => {
  it('is told on the monotonic clock, whatever the wall clock of the page shows', () => {
    const page = pageClock();
    page.pass(5 * MINUTE);
    expect(page.left()).toBe(55 * MINUTE);
  });
  it('does not take how far a web server is off for time', () => {
    const page = pageClock();
    page.hear('one', 3 * MINUTE);
    page.pass(MINUTE);
    page.hear('one', 3 * MINUTE);
    expect(page.left()).toBe(59 * MINUTE);
  });
  it.each([['ahead', 3 * MINUTE], ['behind', -3 * MINUTE]])('stays after a reconnect to a server whose clock is %s', (_how, skew) => {
    const page = pageClock();
    page.hear('one', 0);
    page.pass(MINUTE);
    page.hear('two', skew);
    page.pass(MINUTE);
    page.hear('two', skew);
    expect(page.left()).toBe(58 * MINUTE);
    expect(page.clock.moved).toBe(1);
    page.hear('three', 0);
    expect(page.left()).toBe(58 * MINUTE);
  });
  it('moves on after a sleep in which the connection lived', () => {
    const page = pageClock();
    page.hear('one', 3 * MINUTE);
    page.sleep(MINUTE / 4);
    page.hear('one', 3 * MINUTE);
    expect(page.left()).toBe(60 * MINUTE - MINUTE / 4);
    expect(page.clock.moved).toBe(2);
  });
  it('moves on after a sleep that ended the connection, by no more than the sleep', () => {
    const page = pageClock();
    page.hear('one', 0);
    page.sleep(20 * MINUTE);
    page.hear('two', 3 * MINUTE);
    expect(page.left()).toBe(40 * MINUTE);
  });
  it('does not follow a wall clock that is set', () => {
    const page = pageClock();
    page.hear('one', 0);
    page.setWall(10 * MINUTE);
    page.hear('two', 0);
    expect(page.left()).toBe(60 * MINUTE);
  });
  it('is never before an event that happened', () => {
    const page = pageClock();
    page.clock.atLeast(DATABASE + 2 * MINUTE);
    page.clock.atLeast(DATABASE + MINUTE);
    page.clock.atLeast(NaN);
    expect(page.left()).toBe(58 * MINUTE);
  });
  it('is put right, back too, by a reading of the database', () => {
    const page = pageClock();
    page.clock.atLeast(DATABASE + 5 * MINUTE);
    page.clock.read(DATABASE);
    expect(page.left()).toBe(60 * MINUTE);
    page.hear('one', 3 * MINUTE);
    expect(page.left()).toBe(60 * MINUTE);
  });
});
