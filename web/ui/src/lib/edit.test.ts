import { describe, expect, it } from 'vitest';
import type { Approval, Plan, PlanStep } from '../api/types';
import { shownContext, askOptions } from './ask';
import { closedVerb, editKind, onTimeoutWords, question, splitAskedAgain } from './approvalWords';
import { diffLines } from './diff';
import { timeUntil } from './format';
import { changedSections, editedPlan, planText, prettyJSON } from './planText';
import { configOf, DEFAULT_OPTIONS, durationProblem, optionsValid } from './sessionOptions';
import { durationSeconds, editOf, formOf, problemsOf } from './stepForm';

const plan: Plan = {
  steps: [
    { id: 'a', title: 'First', run: ['python3', '-u', 'a.py'] },
    { id: 'b', shell: 'echo b', needs: ['a'], env: { N: '1' }, timeout: '30s' },
  ],
  files: { 'a.py': 'print(1)\nprint(2)\n' },
};
const [first, second] = plan.steps as [PlanStep, PlanStep];

describe('a plan as text', () => {
  it('keeps plain lists on one line, and means the same', () => {
    expect(planText(plan)).toContain('"run": ["python3", "-u", "a.py"]');
    expect(JSON.parse(planText(plan))).toEqual(plan);
    expect(prettyJSON({ a: [], b: {}, c: undefined })).toBe('{\n  "a": [],\n  "b": {}\n}');
  });
});

describe('what changes between two plans', () => {
  it('is told by step and by file', () => {
    const after: Plan = { steps: [first, { ...second, shell: 'echo c' }, { id: 'c', shell: 'true' }], files: { 'a.py': 'print(1)\nprint(3)\n' } };
    expect(changedSections(plan, after).map((s) => [s.title, s.before === '', s.after === ''])).toEqual([['b', false, false], ['c', true, false], ['a.py', false, false]]);
  });
  it('is nothing for another layout of the same', () => {
    expect(changedSections(plan, JSON.parse(JSON.stringify({ files: plan.files, steps: plan.steps })) as Plan)).toEqual([]);
  });
  it('says that a step is gone, and that the order is another', () => {
    expect(changedSections(plan, { ...plan, steps: [first] }).map((s) => [s.title, s.after])).toEqual([['b', '']]);
    expect(changedSections(plan, { ...plan, steps: [second, first] }).map((s) => s.title)).toEqual(['Order of the steps']);
  });
});

describe('the line diff', () => {
  const shown = (a: string, b: string) => diffLines(a, b).map((l) => `${{ same: '=', added: '+', removed: '-', gap: '…' }[l.kind]}${l.text}`);
  it('is the shortest edit', () => {
    expect(shown('a\nb\nc\n', 'a\nx\nc\n')).toEqual(['=a', '-b', '+x', '=c']);
    expect(shown('', 'a\n')).toEqual(['+a']);
    expect(shown('a', 'a')).toEqual(['…1 line unchanged']);
  });
  it('folds what is far from any change', () => {
    const lines = Array.from({ length: 20 }, (_, i) => `l${i}`);
    expect(shown(lines.join('\n'), [...lines.slice(0, 10), 'new', ...lines.slice(10)].join('\n'))).toEqual(['…8 lines unchanged', '=l8', '=l9', '+new', '=l10', '=l11', '…8 lines unchanged']);
  });
  it('takes texts that are too long to compare line by line', () => {
    const many = (word: string) => Array.from({ length: 3_000 }, (_, i) => word + i).join('\n');
    expect(diffLines(many('a'), many('b'))).toHaveLength(6_000);
  });
});

describe('the form of a step', () => {
  it('sends only what differs', () => {
    const form = formOf(second, plan.files);
    expect(editOf(form, second, plan.files)).toBeNull();
    expect(editOf({ ...form, shell: 'echo c' }, second, plan.files)).toEqual({ shell: 'echo c' });
    const env = [...form.env, { key: 'x', name: ' M ', value: '2', fixed: false }];
    expect(editOf({ ...form, env, timeout: '1m' }, second, plan.files)).toEqual({ env: { M: '2' }, timeout: '1m' });
    const files = form.files.map((file) => ({ ...file, value: 'print(3)\n' }));
    expect(editOf({ ...form, files }, second, plan.files)).toEqual({ files: { 'a.py': 'print(3)\n' } });
  });
  it('turns a shell command into a program, and back', () => {
    const form = { ...formOf(second, undefined), kind: 'run' as const, words: ['echo', 'b'] };
    const edit = editOf(form, second, undefined);
    expect(edit).toEqual({ run: ['echo', 'b'] });
    expect(editedPlan(plan, 'b', edit ?? {}).steps[1]).toMatchObject({ id: 'b', run: ['echo', 'b'], env: { N: '1' } });
    expect(editedPlan(plan, 'b', edit ?? {}).steps[1]).not.toHaveProperty('shell');
    expect(editOf({ ...formOf(first, undefined), kind: 'shell', shell: 'true' }, first, undefined)).toEqual({ shell: 'true' });
  });
  it('tells what is wrong before anything is sent', () => {
    const form = formOf(second, plan.files);
    expect(problemsOf(form, second)).toEqual({});
    expect(Object.keys(problemsOf({ ...form, shell: ' ', timeout: 'soon' }, second))).toEqual(['command', 'timeout']);
    expect(problemsOf({ ...form, timeout: '' }, second).timeout).toMatch(/not taken away/);
    const twice = [...form.files, { key: 'x', name: 'a.py', value: '', fixed: false }];
    expect(problemsOf({ ...form, files: twice }, second).files).toMatch(/a\.py.*twice/);
  });
  it('knows durations as the server does', () => {
    expect([durationSeconds('90s'), durationSeconds('1h30m'), durationSeconds('1.5h'), durationSeconds('3d'), durationSeconds('1w2d'), durationSeconds('5 m'), durationSeconds('30')]).toEqual([
      90, 5400, 5400, 259_200, 777_600, null, null,
    ]);
  });
});

describe('the words of an approval', () => {
  const approval = (change: Partial<Approval>): Approval => ({ approval_type: 'step_approval', options: ['approved', 'rejected', 'modified'], status: 'pending', ...change }) as Approval;
  it('say why it is asked again', () => {
    expect(splitAskedAgain('Run "A": echo (asked again: edited by ann)')).toEqual({ text: 'Run "A": echo', why: 'edited by ann' });
    expect(splitAskedAgain('Run "A": echo (x)')).toEqual({ text: 'Run "A": echo (x)', why: null });
  });
  it('say what silence does', () => {
    expect(onTimeoutWords(approval({}))).toMatch(/suspended/);
    expect(onTimeoutWords(approval({ on_timeout: 'reject' }))).toMatch(/rejected/);
    expect(onTimeoutWords(approval({ on_timeout: 'approve', approval_type: 'error_recovery' }))).toMatch(/skipped/);
    expect(onTimeoutWords(approval({ on_timeout: 'escalate' }))).toMatch(/escalated/);
    expect(onTimeoutWords(approval({ on_timeout: 'escalate', escalated_at: '2026-01-01T00:00:00.000Z' }))).toMatch(/still nobody/);
  });
  it('offer an editor only where an edit is taken', () => {
    expect(editKind(approval({}))).toBe('step');
    expect(editKind(approval({ approval_type: 'plan_approval', options: ['approved', 'rejected'] }))).toBeNull();
    expect(editKind(approval({ approval_type: 'error_recovery', options: ['retry', 'skip', 'abort'] }))).toBe('step');
    expect(editKind(approval({ approval_type: 'program_ask', options: ['approved', 'rejected'] }))).toBeNull();
  });
  it('say how it ended', () => {
    expect(closedVerb(approval({ status: 'void' }))).toBe('Changed, asked again');
    expect(closedVerb(approval({ status: 'resolved', resolution: 'modified' }))).toBe('Edited');
    expect(closedVerb(approval({ approval_type: 'program_ask', status: 'resolved', resolution: 'approved', feedback: 'fine' }))).toBe('Answered');
  });
  it('of a program say who asks, and that silence does not stop it', () => {
    const ask = approval({ approval_type: 'program_ask', step_id: 'fit', on_timeout: 'reject' });
    expect(question(ask, 'Fit the model')).toBe('“Fit the model” asks');
    expect(onTimeoutWords(ask)).toBe('If nobody answers: the program goes on without an answer.');
    expect(onTimeoutWords({ ...ask, on_timeout: 'approve' })).toMatch(/approved/);
  });
});

describe('a question of a program', () => {
  const ask = (context: Record<string, unknown>, type: Approval['approval_type'] = 'program_ask') => ({ approval_type: type, context }) as Approval;
  it('gives the options that can be chosen', () => {
    expect(askOptions(ask({ options: ['coarse', 'fine', 'fine', '', 3] }))).toEqual(['coarse', 'fine']);
    expect(askOptions(ask({}))).toEqual([]);
    expect(askOptions(ask({ options: 'fine' }))).toEqual([]);
    expect(askOptions(ask({ options: ['x'] }, 'step_approval'))).toEqual([]);
  });
  it('shows what comes with it: a few facts as a list, all else as it is', () => {
    expect(shownContext(ask({ options: ['a'] }))).toBeNull();
    expect(shownContext(ask({ options: ['a'], chi2: 1.5, model: 'line', ok: true }))).toEqual({ facts: [['chi2', '1.5'], ['model', 'line'], ['ok', 'true']] });
    expect(shownContext({ ...ask({ options: 'all', tool: 'mail' }), approval_type: 'tool_call' })).toEqual({ facts: [['options', 'all'], ['tool', 'mail']] });
    expect(shownContext(ask({ context: 'a text' }))).toEqual({ text: 'a text', whole: true });
    expect(shownContext(ask({ context: { chi2: 1.5 } }))).toEqual({ facts: [['chi2', '1.5']] });
    expect(['a text', 7, [1], null].map((any) => shownContext(ask(any as unknown as Record<string, unknown>)))).toEqual([{ text: 'a text', whole: true }, { text: '7', whole: true }, { text: '[\n  1\n]', whole: true }, null]);
    expect(askOptions(ask(null as unknown as Record<string, unknown>))).toEqual([]);
    expect(shownContext(ask({ rows: [1, 2] }))).toEqual({ text: '{\n  "rows": [\n    1,\n    2\n  ]\n}', whole: true });
    expect(shownContext(ask({ log: 'one\ntwo' }))).toEqual({ text: '{\n  "log": "one\\ntwo"\n}', whole: true });
  });
});

describe('the options of a new session', () => {
  it('send no default', () => {
    expect(configOf(DEFAULT_OPTIONS)).toEqual({ approval_mode: 'none', parallel: 2 });
    expect(configOf({ ...DEFAULT_OPTIONS, onTimeout: 'escalate', escalationTimeout: '20m', whenBusy: 'interrupt', sessionTTL: ' 720h ' })).toMatchObject({ on_timeout: 'escalate', escalation_timeout: '20m', when_busy: 'interrupt', session_ttl: '720h' });
    expect(configOf({ ...DEFAULT_OPTIONS, escalationTimeout: '20m' })).not.toHaveProperty('escalation_timeout');
  });
  it('refuse what the server would', () => {
    expect(durationProblem('runTimeout', { ...DEFAULT_OPTIONS, runTimeout: '721h' })).toMatch(/720h/);
    expect(durationProblem('sessionTTL', { ...DEFAULT_OPTIONS, sessionTTL: 'never' })).toMatch(/such as/);
    expect(optionsValid({ ...DEFAULT_OPTIONS, runTimeout: '2h' })).toBe(true);
  });
});

it('a time ahead is told in the coarsest unit that says enough', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(['2026-01-01T00:00:30Z', '2026-01-01T00:20:00Z', '2026-01-01T20:00:00Z', '2026-01-11T00:00:00Z'].map((t) => timeUntil(t, now))).toEqual(['in 30 s', 'in 20 min', 'in 20 h', 'in 10 days']);
});
