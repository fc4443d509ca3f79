import { describe, expect, it } from 'vitest';
import { tailSince } from './tail';

describe('a page that opens a long log', () => {
  it('reads a short log whole', () => {
    expect(tailSince(400, 200, 200 * 60_000)).toBe(0);
  });
  it('reads a long log of small events whole too', () => {
    expect(tailSince(15_000, 200, 200 * 80)).toBe(0);
  });
  it('reads the newest megabytes of a log of big events', () => {
    expect(tailSince(17_000, 70, 70 * 58_000)).toBe(17_000 - 200);
    expect(tailSince(17_000, 200, 200 * 4_000)).toBe(17_000 - 1_904);
  });
  it('never reads more than a bound', () => {
    expect(tailSince(1_000_000, 0, 0)).toBe(1_000_000 - 20_000);
  });
});
