import { describe, expect, it } from 'vitest';
import vectors from '../../policy.json';
import { Cursor } from '../src/cursor.js';
import * as policy from '../src/policy.js';

// The vectors that the Go client's tests read, too.

it('has the times that all clients have', () => {
  expect(vectors.times).toEqual({
    connect_within: policy.CONNECT_WITHIN_MS,
    ping_every: policy.PING_EVERY_MS,
    pong_within: policy.PONG_WITHIN_MS,
    stable_after: policy.STABLE_AFTER_MS,
    at_once_after: policy.AT_ONCE_AFTER_MS,
    ask_again_after: policy.ASK_AGAIN_AFTER_MS,
  });
  const { base, cap, floor } = vectors.backoff;
  expect([base, cap, floor]).toEqual([policy.BACKOFF_BASE_MS, policy.BACKOFF_CAP_MS, policy.BACKOFF_FLOOR_MS]);
});

it.each(vectors.backoff.waits)('waits $wait ms before try $attempt when chance says $random', ({ attempt, random, wait }) => {
  expect(policy.backoff(attempt, random)).toBe(wait);
});

it.each(vectors.retry_after)('reads $wait ms from "$reason"', ({ reason, wait }) => {
  expect(policy.retryAfter(reason)).toBe(wait);
});

describe('after a close', () => {
  it.each(vectors.closes)('$what', ({ steps }) => {
    const reconnect = new policy.Reconnect();
    for (const step of steps as { code: number; reason?: string; lived: number; random: number; action: string; wait?: number }[]) {
      const next = reconnect.after({ code: step.code, reason: step.reason ?? '', livedMs: step.lived }, step.random);
      expect([next.action, next.waitMs]).toEqual([step.action, step.wait ?? null]);
      expect(next.why).not.toBe('');
    }
  });
});

it.each(vectors.refusals)('asks again after a refusal as $code: $again', ({ code, again }) => {
  expect(policy.mayBeAskedAgain(code)).toBe(again);
});

it.each(vectors.logs)('takes in $what', ({ since, arrives, verdicts, last }) => {
  const cursor = new Cursor(since);
  expect(arrives.map((seq) => cursor.accept(seq))).toEqual(verdicts);
  expect(cursor.seq).toBe(last);
});
