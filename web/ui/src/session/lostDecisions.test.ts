import { describe, expect, it } from 'vitest';
import type { Approval } from '../api/types';
import { lostDecision } from './lostDecisions';

const closed = (more: Partial<Approval> = {}) => ({ id: 'a', status: 'resolved', resolution: 'rejected', actor: 'grace', ...more }) as Approval;

describe('a decision that somebody else was quicker than', () => {
  it('is kept with its words', () => {
    expect(lostDecision(closed(), { feedback: 'go on', sent: { resolution: 'approved', feedback: 'go on' } })).toMatchObject({ words: 'go on', tried: 'approved' });
    expect(lostDecision(closed(), { feedback: 'half a sen', sent: null })).toMatchObject({ words: 'half a sen', tried: null });
    expect(lostDecision(closed({ status: 'expired', resolution: undefined }), { feedback: 'x', sent: null })).toMatchObject({ words: 'x' });
  });
  it('is told of though it is the same, when its words were dropped', () => {
    expect(lostDecision(closed({ feedback: 'too slow' }), { feedback: 'wrong units', sent: { resolution: 'rejected', feedback: 'wrong units' } })).toMatchObject({ words: 'wrong units', tried: null });
  });
  it('is no news when it counted, or when there was none', () => {
    expect(lostDecision(closed({ feedback: 'no' }), { feedback: 'no', sent: { resolution: 'rejected', feedback: ' no ' } })).toBeNull();
    expect(lostDecision(closed(), { feedback: '', sent: { resolution: 'rejected' } })).toBeNull();
    expect(lostDecision(closed(), { feedback: ' ', sent: null })).toBeNull();
    expect(lostDecision(closed({ status: 'pending' }), { feedback: 'x', sent: null })).toBeNull();
  });
});
