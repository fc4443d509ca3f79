// Writes the output of several steps as one stream, each line led by its
// step's name. A step's unfinished line is broken when another step speaks.
export class LinePrefixer {
  private lastKey: string | null = null;
  private atLineStart = true;

  constructor(private readonly width: number) {}

  add(key: string, name: string, text: string): string {
    const label = name.length > this.width ? `${name.slice(0, this.width - 1)}…` : name.padEnd(this.width);
    const prefix = `\u001b[0;2m${label} │\u001b[0m `;
    let out = '';
    if (this.lastKey !== null && this.lastKey !== key && !this.atLineStart) {
      out += '\n';
      this.atLineStart = true;
    }
    this.lastKey = key;
    // Split after each line end, and after a bare carriage return, which starts the line anew.
    for (const part of text.split(/(?<=\n)|(?<=\r)(?!\n)/)) {
      if (part === '') continue;
      out += this.atLineStart ? prefix + part : part;
      this.atLineStart = part.endsWith('\n') || part.endsWith('\r');
    }
    return out;
  }
}
