import { describe, expect, it } from 'vitest';
import { Cleaner, plainText } from './clean';

// The same as in the tests of the command line's cleaner: both make the same promise.
const CASES: Record<string, [text: string, line: string, nothing: string]> = {
  colour: ['\x1b[1;31mred\x1b[0m', '\x1b[1;31mred\x1b[0m', 'red'],
  'true colour': ['\x1b[38:2::1:2:3mx', '\x1b[38:2::1:2:3mx', 'x'],
  'progress bar': ['\r\x1b[K50 %', '\r\x1b[K50 %', '\r50 %'],
  'within the line': ['a\x1b[3Db\x1b[2Cc\x1b[1G\b', 'a\x1b[3Db\x1b[2Cc\x1b[1G\b', 'abc'],
  'clipboard (OSC 52)': ['a\x1b]52;c;cm0gLXJm\x07b', 'ab', 'ab'],
  'title, ended by ST': ['a\x1b]0;owned\x1b\\b', 'ab', 'ab'],
  'a link that runs a script (OSC 8)': ['\x1b]8;;javascript:alert(1)\x1b\\here\x1b]8;;\x1b\\', 'here', 'here'],
  'palette': ['\x1b]4;0;#fff\x07\x1b]11;#000\x07x', 'x', 'x'],
  'device control': ['a\x1bPq#0\x1b\\b', 'ab', 'ab'],
  'report request': ['a\x1b[6nb\x1b[c\x1b[>c\x1b[0qd', 'abd', 'abd'],
  'clear and home': ['\x1b[2J\x1b[3J\x1b[Hx', 'x', 'x'],
  'cursor up': ['\x1b[5Ax', 'x', 'x'],
  'scroll region': ['\x1b[1;1r\x1b[5Lx', 'x', 'x'],
  'alternate screen': ['\x1b[?1049hx\x1b[?25l', 'x', 'x'],
  'drawing has stopped': ['\x1b[?2026hx', 'x', 'x'],
  'private colour': ['\x1b[>4;1mx', 'x', 'x'],
  reset: ['\x1bcx\x1b(0y\x1b#8\x1b[!pz', 'xyz', 'xyz'],
  '8-bit controls': ['a\u009b31mb\u009d0;t\u009cc\u0085d', 'a\x1b[31mbcd', 'abcd'],
  'bell and others': ['a\x07\x00\x0e\x7fb\x05', 'ab', 'ab'],
  'bidirectional tricks': ['a\u202eb\u2066c', 'abc', 'abc'],
  'an open string': ['\x1b]0;no end\nnext line', '\nnext line', '\nnext line'],
  'broken off': ['\x1b[31\nx', '\nx', '\nx'],
  'a sequence without an end': [`\x1b[${'1;'.repeat(1_000)}mx`, 'x', 'x'],
  text: ['tab\tüñ Ω 🙂\n', 'tab\tüñ Ω 🙂\n', 'tab\tüñ Ω 🙂\n'],
};

describe('a cleaner', () => {
  for (const [name, [text, line, nothing]] of Object.entries(CASES)) {
    it(`takes what is dangerous out of: ${name}`, () => {
      expect(new Cleaner('line').add(text)).toBe(line);
      expect(new Cleaner('nothing').add(text)).toBe(nothing);
      const pieces = new Cleaner('line');
      expect([...text].map((char) => pieces.add(char)).join('')).toBe(line);
    });
  }
  it('leaves colours alone beside others', () => {
    expect(new Cleaner('colours').add('\x1b[31ma\x1b[1G\x1b[K\x1b[9D\x1b[2C\b\x1b[0mb')).toBe('\x1b[31ma\x1b[0mb');
  });
  it('is quick with what is plain', () => {
    const text = 'a line of text as most are, with an ü\n'.repeat(100_000);
    const started = performance.now();
    expect(new Cleaner('line').add(text)).toBe(text);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe('plain text', () => {
  it('has each line as it was last written', () => {
    expect(plainText('10 %\r20 %\r30 %\ndone\r\nx\r')).toBe('30 %\ndone\nx');
  });
});
