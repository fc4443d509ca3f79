// @vitest-environment jsdom
import { Terminal } from '@xterm/xterm';
import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../session/output';
import { TerminalFeed } from './terminalFeed';

// Writes the page's output to a real terminal and returns what the terminal shows.
async function show(feed: TerminalFeed, chunks: Chunk[]) {
  const terminal = new Terminal({ convertEol: true, disableStdin: true, cols: 60, rows: 10, allowProposedApi: true });
  const noticed: string[] = [];
  terminal.onTitleChange((title) => noticed.push(`title ${title}`));
  terminal.onBell(() => noticed.push('bell'));
  terminal.onData((data) => noticed.push(`answer ${JSON.stringify(data)}`));
  terminal.buffer.onBufferChange(() => noticed.push('other screen'));
  await new Promise<void>((done) => terminal.write(chunks.map((chunk) => feed.render(chunk)).join(''), done));
  const { active } = terminal.buffer;
  const lines: string[] = [];
  for (let i = 0; i < active.length; i++) lines.push(active.getLine(i)?.translateToString(true) ?? '');
  while (lines.at(-1) === '') lines.pop();
  const modes = { ...terminal.modes };
  terminal.dispose();
  return { lines, noticed, modes };
}

let seq = 0;
const says = (stepId: string, text: string, attempt = 1): Chunk => ({ seq: ++seq, key: `r/${stepId}`, stepId, attempt, text });

const ATTACKS = [
  '\x1b]0;owned\x07', '\x1b]2;owned\x1b\\', '\x1b]52;c;cm0gLXJm\x07', '\x07', '\x1b[c', '\x1b[>c', '\x1b[6n', '\x1b]10;?\x07', '\x1b]4;1;?\x07', '\x05', '\x1b[14t', '\x1bP$qm\x1b\\',
  '\x1bc', '\x1b[!p', '\x1b[2J', '\x1b[3J', '\x1b[H', '\x1b[99A', '\x1b[1;1H\x1b[J', '\x1b[?1049h', '\x1b[?47h', '\x1b[?2026h', '\x1b[?1000h', '\x1b[?2004h', '\x1b[?7l', '\x1b[4h',
  '\x1b#8', '\x1b[1;2r\x1b[20S', '\x1b[20L', '\x1b[20M', '\x1bM\x1bM\x1bM', '\x1b7\x1b8', '\x1b(0', '\x0e', '\u009b2J', '\u009d0;owned\u009c', '\x1b]4;0;#fff;7;#fff\x07', '\x1b]11;#000\x07',
];

describe('a program that attacks the viewer', () => {
  it('has no answer, title, bell, mode or screen of it, and what others printed stays', async () => {
    const quiet = await show(new TerminalFeed(false, 4), [says('good', 'one\ntwo\n')]);
    const { lines, noticed, modes } = await show(new TerminalFeed(false, 4), [says('good', 'one\ntwo\n'), ...ATTACKS.map((attack) => says('evil', attack)), says('evil', 'x\n'), says('good', 'three\n')]);
    expect(noticed).toEqual([]);
    expect(modes).toEqual(quiet.modes);
    expect(lines).toEqual(['good │ one', 'good │ two', 'evil │ x', 'good │ three']);
  });
  it('the same when it is looked at alone', async () => {
    const { lines, noticed } = await show(new TerminalFeed(true, 4), [says('evil', 'one\n'), ...ATTACKS.map((attack) => says('evil', attack)), says('evil', 'x\n')]);
    expect(noticed).toEqual([]);
    expect(lines).toEqual(['one', 'x']);
  });
  it('cannot write under the name of another step, or hide what that one says', async () => {
    const { lines } = await show(new TerminalFeed(false, 4), [
      says('evil', '\x1b[8m\x1b[1Ggood │ all is well\r'), says('good', 'failed'), says('evil', '\b\b\b\b\b\b\b\b\b\b\b\b\bgood │ fine\r'), says('good', '!\n'),
    ]);
    expect(lines).toEqual(['good │ failed!', 'evil │ good │ fine']);
  });
  it('cannot carry an open sequence into its next attempt', async () => {
    const { lines } = await show(new TerminalFeed(true, 4), [says('evil', 'x\x1b]0;'), says('evil', 'second try\n', 2)]);
    expect(lines).toEqual(['x', '── attempt 2 ──', 'second try']);
  });
});

describe('lines that come in pieces', () => {
  const over = (...keys: string[]) => (key: string) => keys.includes(key);
  it('stay whole beside those of others, as on the command line', async () => {
    const { lines } = await show(new TerminalFeed(false, 4), [
      says('fit', 'epoch 1'), says('plot', 'one\n'), says('fit', ' loss 0.5\nepoch 2'), says('plot', 'tw'), says('fit', ' loss 0.4\n'), says('plot', 'o\n'),
    ]);
    expect(lines).toEqual(['plot │ one', 'fit  │ epoch 1 loss 0.5', 'fit  │ epoch 2 loss 0.4', 'plot │ two']);
  });
  it('are seen as far as they have come, and broken only where they fill the screen', async () => {
    const long = 'x'.repeat(70);
    const { lines } = await show(new TerminalFeed(false, 4, () => 60), [says('fit', 'begun'), says('plot', 'one\n'), says('wide', long), says('plot', 'two\n'), says('wide', 'y\n')]);
    expect(lines).toEqual(['plot │ one', `wide │ ${long.slice(0, 53)}`, long.slice(53), 'plot │ two', 'wide │ y', 'fit  │ begun']);
  });
  it('are lines when nothing more comes', async () => {
    const feed = new TerminalFeed(false, 4);
    const written = [says('fit', '\x1b[31mleft'), says('plot', 'also left')].map((chunk) => feed.render(chunk)).join('');
    expect(feed.ended(over())).toBe('');
    const end = feed.ended(over('r/fit', 'r/plot'));
    const { lines } = await show({ render: () => written + end } as unknown as TerminalFeed, [says('any', '')]);
    expect(lines).toEqual(['fit  │ left', 'plot │ also left']);
  });
});

describe('a progress bar made of carriage returns', () => {
  const bar = Array.from({ length: 50 }, (_, i) => `\r\x1b[K\x1b[32m${'#'.repeat(i)}\x1b[0m ${i * 2} %`);
  it('is one line that moves, alone and beside others', async () => {
    const alone = await show(new TerminalFeed(true, 4), [...bar.map((text) => says('fit', text)), says('fit', '\ndone\n')]);
    expect(alone.lines).toEqual([`${'#'.repeat(49)} 98 %`, 'done']);
    const beside = await show(new TerminalFeed(false, 4), [says('plot', 'a\n'), ...bar.slice(0, 30).map((text) => says('fit', text)), says('plot', 'b\n')]);
    expect(beside.lines).toEqual(['plot │ a', 'plot │ b', `fit  │ ${'#'.repeat(29)} 58 %`]);
  });
});
