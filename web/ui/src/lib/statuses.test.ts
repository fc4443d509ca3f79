import { describe, expect, it } from 'vitest';
import { outageOf } from '../app/outage';
import { failuresOf, failureWords } from './statuses';

describe('a run that completed though steps failed', () => {
  const steps = (...statuses: string[]) => statuses.map((status) => ({ status }));
  it('says how many of how many', () => {
    expect(failureWords(failuresOf({ steps: steps('failed', 'failed', 'succeeded') }))).toBe('2 of 3 steps failed');
    expect(failureWords(failuresOf({ failed_steps: 6, steps: steps('failed') }))).toBe('6 of 1 step failed');
    expect(failureWords({ failed: 1, of: null })).toBe('1 step failed');
    expect(failuresOf({ steps: null })).toEqual({ failed: 0, of: 0 });
  });
});

describe('a part of the server that is down', () => {
  const up = { temporal: 'up', postgres: 'up', worker: 'up' } as const;
  it('is named, with what still works and what waits', () => {
    expect(outageOf(null)).toBeNull();
    expect(outageOf(up)).toBeNull();
    expect(outageOf({ ...up, temporal: 'down' })).toMatchObject({ what: 'Temporal does not answer.' });
    expect(outageOf({ ...up, worker: 'down' })).toMatchObject({ what: 'No worker is running.' });
    expect(outageOf({ temporal: 'down', postgres: 'down', worker: 'down' })).toMatchObject({ what: 'The database does not answer.' });
  });
});
