import { describe, expect, it } from 'vitest';
import { Cleaner } from './clean';
import { secondsLeft } from './countdown';
import { parseCSV } from './csv';
import { bytes, countdown, duration, relativeTime } from './format';
import { IdempotencyKey } from './idempotency';
import { LineJoiner, LinePrefixer } from './linePrefix';
import { offsetOf, planFromSource, rangeOf } from './planSource';
import { previewKind, resolveRelative } from './preview';

describe('the plan editor', () => {
  const source = '{\n  "steps": [\n    {"id": "a", "needs": ["nope"]}\n  ]\n}';
  it('finds the place of a line and column, and stays inside the text', () => {
    expect(source.slice(offsetOf(source, { line: 3, column: 6 }))).toMatch(/^"id"/);
    expect(offsetOf(source, { line: 1, column: 99 })).toBe(1);
    expect(offsetOf(source, { line: 99, column: 1 })).toBe(source.length);
    expect(offsetOf('', { line: 1, column: 1 })).toBe(0);
  });
  it('underlines the whole value at a problem', () => {
    const column = (source.split('\n')[2] ?? '').indexOf('"nope"') + 1;
    const { from, to } = rangeOf(source, { line: 3, column });
    expect(source.slice(from, to)).toBe('"nope"');
    expect(rangeOf('', { line: 1, column: 1 })).toEqual({ from: 0, to: 0 });
  });
  it('reads a plan only from an object with steps', () => {
    expect(planFromSource(source)?.steps).toHaveLength(1);
    expect(planFromSource('[]')).toBeNull();
    expect(planFromSource('{')).toBeNull();
  });
});

describe('the idempotency key', () => {
  it('stays for the same request and changes with it', () => {
    let n = 0;
    const key = new IdempotencyKey(() => `k${++n}`);
    expect([key.for({ a: 1 }), key.for({ a: 1 }), key.for({ a: 2 })]).toEqual(['k1', 'k1', 'k2']);
  });
});

describe('the countdown', () => {
  it('counts on the monotonic clock', () => {
    const deadline = { at: 1_300_000 };
    expect(secondsLeft(deadline, 1_000_000)).toBe(300);
    expect(secondsLeft(deadline, 1_120_000)).toBe(180);
    expect(secondsLeft(deadline, 9_000_000)).toBe(0);
    expect(countdown(179.2)).toBe('03:00');
    expect(countdown(3_725)).toBe('1:02:05');
  });
});

describe('several steps in one stream', () => {
  it('lead every line with its step, also after a carriage return, and never mix two lines', () => {
    const prefixer = new LinePrefixer(4);
    const out = new Cleaner('nothing').add(prefixer.add('a', 'sim', '10%\r20%\n') + prefixer.add('b', 'plotting', 'x\ny\r\n') + prefixer.add('a', 'sim', 'done\n'));
    expect(out).toBe('sim  │ 10%\rsim  │ 20%\nplo… │ x\nplo… │ y\r\nsim  │ done\n');
  });
  it('stay whole when another step speaks while they are unfinished', () => {
    const joiner = new LineJoiner();
    expect(joiner.add('a', 'epoch 1') + joiner.add('b', 'x\ny') + joiner.add('a', ' loss 0.5\nep') + joiner.rest()).toBe('x\nepoch 1 loss 0.5\nep\ny\n');
    expect(joiner.add('a', 'z'.repeat(70_000)) + joiner.rest()).toHaveLength(70_000);
  });
});

describe('formats', () => {
  it('are short and exact', () => {
    expect([0, 999, 1000, 18_000_000].map((n) => bytes(n))).toEqual(['0 B', '999 B', '1.0 kB', '18 MB']);
    expect([12, 1500, 65_000, 3_720_000].map((n) => duration(n))).toEqual(['12 ms', '1.5 s', '1m 05s', '1h 02m']);
    expect(relativeTime('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:03:10Z'))).toBe('3m ago');
    expect(relativeTime('nonsense', 0)).toBe('');
  });
  it('read CSV with quotes, and stop at a bound', () => {
    expect(parseCSV('a,b\r\n"x, ""y""",2\n\n', 10)).toEqual({ rows: [['a', 'b'], ['x, "y"', '2']], truncated: false });
    expect(parseCSV('1\n2\n3\n', 2).truncated).toBe(true);
  });
  it('know what can be previewed', () => {
    expect(['a.SVG', 'x/b.csv', 'r.md', 'run.py', 'core'].map((p) => previewKind(p, undefined))).toEqual(['image', 'csv', 'markdown', 'text', 'none']);
    expect(previewKind('LICENSE', 'text/plain; charset=utf-8')).toBe('text');
  });
  it('resolve an address within the workspace and nothing else', () => {
    expect(resolveRelative('out/report.md', '../figure.svg')).toBe('figure.svg');
    expect(resolveRelative('report.md', '../secret')).toBeNull();
    expect(resolveRelative('report.md', 'https://elsewhere/x.png')).toBeNull();
    expect(resolveRelative('report.md', '//elsewhere/x.png')).toBeNull();
  });
});
