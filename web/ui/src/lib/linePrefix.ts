// Writes the output of several steps as one stream, with its step's name before each line. A line
// that comes in pieces stays one line, even if other steps print in between: while unfinished it
// stays at the end, is removed for others' output, and put back after it.
export class LinePrefixer {
  private readonly unfinished = new Map<string, { name: string; text: string }>(); // the latest last
  private shown: string | null = null; // the step whose unfinished line the cursor is in
  private cursor: 'start' | 'returned' | 'within' = 'start';

  constructor(
    private readonly width: number,
    private readonly columns: () => number = () => 80,
  ) {}

  add(key: string, name: string, text: string): string {
    if (text === '') return '';
    let out = this.shown === key ? '' : this.takeAway();
    const begun = this.unfinished.get(key)?.text ?? '';
    out += this.write(name, this.shown === key ? text : begun + text);
    const rest = unfinishedOf(begun + text);
    this.unfinished.delete(key);
    this.shown = null;
    if (rest === '') return out + this.putBack();
    this.unfinished.set(key, { name, text: rest });
    this.shown = key;
    return out;
  }

  // The steps whose unfinished line is not shown, because another's is.
  get hidden(): string[] {
    return [...this.unfinished.keys()].filter((key) => key !== this.shown);
  }

  // Nothing more comes from this step: its unfinished text becomes a line.
  end(key: string): string {
    const line = this.unfinished.get(key);
    if (line === undefined || this.shown === key) return '';
    this.unfinished.delete(key);
    const out = this.takeAway() + this.write(line.name, `${line.text}\n`);
    return out + this.putBack();
  }

  private putBack(): string {
    const last = [...this.unfinished].at(-1);
    if (last === undefined) return '';
    this.shown = last[0];
    return this.write(last[1].name, last[1].text);
  }

  // A line that may have been wrapped cannot be removed: it is broken off.
  private takeAway(): string {
    const key = this.shown;
    if (key === null) return '';
    this.shown = null;
    this.cursor = 'start';
    const cells = cellsOf(this.unfinished.get(key)?.text ?? '') + this.width + 3;
    if (cells < this.columns()) return '\r\u001b[0m\u001b[2K';
    this.unfinished.delete(key);
    return '\n';
  }

  private write(name: string, text: string): string {
    const label = name.length > this.width ? `${name.slice(0, this.width - 1)}…` : name.padEnd(this.width);
    const prefix = `\u001b[0;2m${label} │\u001b[0m `;
    let out = '';
    // Split after each line end, and after a bare carriage return, which starts the line again.
    for (const part of text.split(/(?<=\n)|(?<=\r)(?!\n)/)) {
      if (part === '') continue;
      out += this.cursor === 'within' || part === '\n' ? part : prefix + part;
      this.cursor = part.endsWith('\n') ? 'start' : part.endsWith('\r') ? 'returned' : 'within';
    }
    return out;
  }
}

const LONGEST = 4_096; // no screen shows more of a line than this

// The visible part of an unfinished line: what came after its last carriage return.
function unfinishedOf(text: string): string {
  const line = text.slice(text.lastIndexOf('\n') + 1);
  const returned = line.lastIndexOf('\r', line.length - 2);
  return line.slice(Math.max(returned + 1, line.length - LONGEST));
}

// The most screen cells a text may take.
function cellsOf(text: string): number {
  let cells = 0;
  // eslint-disable-next-line no-control-regex
  for (const char of text.replace(/\u001b\[[\d;:]*m/g, '')) cells += char === '\t' ? 8 : (char.codePointAt(0) ?? 0) >= 0x300 ? 2 : 1;
  return cells;
}

// Joins lines of several steps that came in pieces, for a plain text of them.
export class LineJoiner {
  private readonly begun = new Map<string, string>();

  // The lines that are now complete.
  add(key: string, text: string): string {
    const whole = (this.begun.get(key) ?? '') + text;
    const end = whole.length - whole.lastIndexOf('\n') > LONGEST_LINE ? whole.length : whole.lastIndexOf('\n') + 1;
    this.begun.set(key, whole.slice(end));
    return whole.slice(0, end);
  }

  // Unfinished text, one line each.
  rest(): string {
    const left = [...this.begun.values()].filter((text) => text !== '');
    this.begun.clear();
    return left.length === 1 ? (left[0] ?? '') : left.map((text) => `${text}\n`).join('');
  }
}

const LONGEST_LINE = 65_536;
