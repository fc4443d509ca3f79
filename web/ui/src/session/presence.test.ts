import type { Viewer } from '@holdfast/client';
import { describe, expect, it } from 'vitest';
import { initials, lookersAt, namesInWords, peopleOf, toneOf } from './presence';

const viewer = (user: string, connection_id: string, approval_id?: string): Viewer => ({ user, connection_id, since: '2026-01-01T00:00:00.000Z', approval_id });
const isSelf = (v: Viewer) => v.connection_id === 'me';

describe('the people of a session', () => {
  it('are named once each, the others first, with what the server did not name', () => {
    const viewers = [viewer('ada', 'me'), viewer('ben', '2'), viewer('ben', '3'), viewer('ada', '4')];
    expect(peopleOf({ viewers, count: 9 }, isSelf)).toEqual({
      people: [{ name: 'ben', self: false, tabs: 2 }, { name: 'ada', self: true, tabs: 2 }],
      more: 5,
    });
  });
  it('look at an approval, and nobody is told of herself', () => {
    const viewers = [viewer('ada', 'me', 'a1'), viewer('ada', '4', 'a1'), viewer('ben', '2', 'a1'), viewer('eve', '3', 'a2'), viewer('kim', '5')];
    expect(lookersAt({ viewers, count: 5 }, 'a1', isSelf)).toEqual(['ben']);
    expect(lookersAt({ viewers, count: 5 }, 'a2', isSelf)).toEqual(['eve']);
  });
});

it.each([['ada', 'A'], ['Ada Lovelace', 'AL'], ['ada.b.lovelace@example.com', 'AL'], ['Éva', 'É'], ['李 雷', '李雷'], ['🙂', '?'], ['', '?']])('abbreviates %s to %s', (name, want) => {
  expect(initials(name)).toBe(want);
});

it.each([[['Ada'], 'Ada'], [['Ada', 'Ben'], 'Ada and Ben'], [['Ada', 'Ben', 'Eve'], 'Ada, Ben and 1 other'], [['A', 'B', 'C', 'D'], 'A, B and 2 others']])('tells %s in words', (names, want) => {
  expect(namesInWords(names)).toBe(want);
});

it('gives a person the same colour every time', () => {
  expect(toneOf('ada', 6)).toBe(toneOf('ada', 6));
  expect(toneOf('x'.repeat(10_000), 6)).toBeLessThan(6);
});
