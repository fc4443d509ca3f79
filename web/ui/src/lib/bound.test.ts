import { describe, expect, it } from 'vitest';
import type { Approval, Plan } from '../api/types';
import { chipsOf, foremost } from './attentionWords';
import { beginning, fieldsOf, foldsOf, isLong, STEPS_ID } from './bound';
import { boundedJSON } from './boundedJSON';
import { hiddenCharacters, piecesOf, spelled } from './hidden';

describe('what an approval binds', () => {
  it('is shown field by field, with what holds where nothing is said', () => {
    const fields = Object.fromEntries(fieldsOf({ id: 'tidy', run: ['sh', 'tidy.sh', 'a b'], env: { LD_PRELOAD: './x.so', A: "one\nB=two" }, network: true, timeout: '5m', retries: 2, on_error: 'continue' }).map(({ name, text }) => [name, text]));
    expect(fields).toEqual({
      'Program and arguments': "sh tidy.sh 'a b'",
      Environment: "A='one\nB=two'\nLD_PRELOAD=./x.so",
      Network: 'allowed, everything outside the host',
      Time: 'at most 5m',
      'Memory, CPU': 'no limit on memory, no limit on cores',
      'If it fails': 'tried again 2 times at most, then the run goes on without it',
    });
  });
  it('says what follows when nobody answers as the server does, not as the plan alone does', () => {
    const step = { id: 'a', shell: 'true', approval: true };
    const asked = (asks?: Parameters<typeof fieldsOf>[1]) => fieldsOf(step, asks).filter(({ name }) => name.startsWith('Asks')).map(({ name, text }) => [name, text]);
    expect(asked({ first: true, failed: false, on_timeout: 'approve' })).toEqual([['Asks first', 'nobody answers: it runs']]);
    expect(asked({ first: false, failed: true, on_timeout: 'approve' })).toEqual([['Asks when it has failed', 'nobody answers: the step is skipped']]);
    expect(asked()).toEqual([]);
    expect(fieldsOf(step).map(({ name }) => name)).not.toContain('approval');
  });
  it('names the places that a step may reach', () => {
    expect(fieldsOf({ id: 'a', shell: 'true', network: { allow: ['a.example:443', 'b.example:80'] } })).toContainEqual({ name: 'Network', text: 'allowed: a.example:443, b.example:80', mono: false });
  });
  it('shows a field that this page does not know', () => {
    const step = { id: 'a', shell: 'true', secrets: ['DB_PASSWORD'] } as unknown as Plan['steps'][number];
    expect(fieldsOf(step)).toContainEqual({ name: 'secrets', text: '["DB_PASSWORD"]', mono: true });
  });
  it('has to be opened where it is long, and is whole then', () => {
    const long = Array.from({ length: 2_310 }, (_, i) => `line ${i + 1}`).join('\n');
    const plan: Plan = { steps: Array.from({ length: 12 }, (_, i) => ({ id: `s${i}`, shell: 'true' })), files: { 'tidy.sh': long, 'short.txt': 'x' } };
    expect(foldsOf(plan).map(({ id, what }) => [id, what])).toEqual([[STEPS_ID, '4 more steps'], ['file/tidy.sh', 'tidy.sh (2,310 lines)']]);
    expect(isLong('x'.repeat(6_001))).toBe(true);
    expect(beginning(long).split('\n')).toHaveLength(15);
    expect(foldsOf({ steps: [{ id: 'a', shell: 'true' }] })).toEqual([]);
    const needs = Array.from({ length: 500 }, (_, i) => `a-step-before-${i}`); // shown whole: there is nothing to open
    expect(foldsOf({ steps: [{ id: 'a', shell: 'true', needs }] })).toEqual([]);
  });
  it('names the characters that do not show', () => {
    expect(piecesOf('rm \u202etxt.\u200bsh\u001b[8m\r\ta\r')).toEqual(['rm ', { code: 'U+202E' }, 'txt.', { code: 'U+200B' }, 'sh', { code: 'U+001B' }, '[8m', { code: 'U+000D' }, '\ta\r']);
    for (const char of '\u061c\u3164\u115f\u1160\uffa0\u180e\u034f\u00ad\u200b\u2028\u2029\u2065\u206f\ufeff\u{e0001}\u{e0041}') {
      expect(piecesOf(char)).toEqual([{ code: expect.stringMatching(/^U\+[0-9A-F]{4,5}$/) as unknown }]);
    }
    expect(piecesOf('é א ب 한 e\u0301 漢')).toEqual(['é א ب 한 e\u0301 漢']);
    expect(piecesOf('')).toEqual(['']);
    expect(piecesOf('plain é 😀')).toEqual(['plain é 😀']);
    expect(spelled('a\u202eb')).toBe('aU+202Eb');
    expect(hiddenCharacters().exec(`${'x'.repeat(30)}\u202e`)?.index).toBe(30); // an editor that stops halfway
    expect(spelled('a\u202eb')).toBe('aU+202Eb');
  });
  it('has chips for what deserves a look', () => {
    const approval = { approval_type: 'step_approval', status: 'pending', step_id: 'tidy', on_timeout: 'approve' } as Approval;
    const attention = [
      { kind: 'network', step_id: 'tidy' },
      { kind: 'env', step_id: 'tidy', found: 'LD_PRELOAD' },
      { kind: 'approves_itself', step_id: 'tidy' },
      { kind: 'remote_code', file: 'tidy.sh', found: 'curl x | sh' },
      { kind: 'one of tomorrow', file: 'x' },
    ];
    expect(chipsOf(attention, approval, 600).map((chip) => chip.words)).toEqual(['approves itself in 10 min', 'network', 'sets LD_PRELOAD', 'runs fetched code · tidy.sh', 'one of tomorrow · x']);
  });

  it('leaves no kind out of too many, and says how many are not listed', () => {
    const approval = { status: 'resolved' } as Approval;
    const attention = [...Array.from({ length: 40 }, (_, n) => ({ kind: 'env', step_id: `s${n}`, found: 'PATH' })), { kind: 'network', step_id: 'last' }, { kind: 'more', found: '113' }];
    const chips = foremost(chipsOf(attention, approval, 0), 24);
    expect(chips).toHaveLength(24);
    expect(chips.slice(0, 4).map((chip) => chip.words)).toEqual(['sets PATH · s0', 'network · last', '113 more are not listed', 'sets PATH · s1']);
    expect(foremost(chips, 24)).toBe(chips);
  });
});

describe('JSON of somebody else', () => {
  const nested = (depth: number): unknown => {
    let value: unknown = 'x';
    for (let n = 0; n < depth; n++) value = { a: value };
    return value;
  };
  it('is laid out as usual where it fits', () => {
    const value = { a: [1, { b: null }], c: {}, d: [] };
    expect(boundedJSON(value)).toEqual({ text: JSON.stringify(value, null, 2), whole: true });
  });
  it('never breaks the page, however deep or long it is, and says that it is not whole', () => {
    const deep = boundedJSON(nested(9_999));
    expect(deep.whole).toBe(false);
    expect(deep.text).toContain('{…}');
    const long = boundedJSON(Array.from({ length: 100_000 }, () => 'y'.repeat(100)));
    expect(long.whole).toBe(false);
    expect(long.text.length).toBeLessThan(4_000_000);
  });
});
