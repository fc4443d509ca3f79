// Writes the output of several steps as one stream, each line led by its
// step's name. A step's unfinished line is broken when another step speaks,
// also one that it would start anew: else the rest of it would stand behind
// what the other one writes.
export class LinePrefixer {
  private lastKey: string | null = null;
  private cursor: 'start' | 'returned' | 'within' = 'start';

  constructor(private readonly width: number) {}

  add(key: string, name: string, text: string): string {
    const label = name.length > this.width ? `${name.slice(0, this.width - 1)}…` : name.padEnd(this.width);
    const prefix = `\u001b[0;2m${label} │\u001b[0m `;
    let out = '';
    if (this.lastKey !== null && this.lastKey !== key && this.cursor !== 'start') {
      out += '\n';
      this.cursor = 'start';
    }
    this.lastKey = key;
    // Split after each line end, and after a bare carriage return, which starts the line anew.
    for (const part of text.split(/(?<=\n)|(?<=\r)(?!\n)/)) {
      if (part === '') continue;
      out += this.cursor === 'within' || part === '\n' ? part : prefix + part;
      this.cursor = part.endsWith('\n') ? 'start' : part.endsWith('\r') ? 'returned' : 'within';
    }
    return out;
  }
}
