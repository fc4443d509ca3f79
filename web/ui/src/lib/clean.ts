// A program's output is not to be trusted, and a terminal obeys it: an escape
// sequence can set the clipboard or the title, make a misleading link, make the
// terminal answer, clear what others printed, or leave colours on that hide
// what comes next. Like the command line's, the Cleaner lets through what stays
// on the program's own line.

// Colours and moves within the line, only colours, or nothing.
export type Allowed = 'line' | 'colours' | 'nothing';

type State = 'ground' | 'escape' | 'intermediate' | 'control' | 'string' | 'stringEscape';

const FINALS: Record<Allowed, string> = { line: 'mKGCD', colours: 'm', nothing: '' };
const MAX_PARAMS = 64; // a longer sequence is dropped

// Control characters except tab and line ends, and marks that change the direction of text.
// eslint-disable-next-line no-control-regex
const SPECIAL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const ESC = 0x1b;

// A stream of text made safe, even if the end of a chunk cuts an escape sequence in two.
export class Cleaner {
  private state: State = 'ground';
  private params = '';

  constructor(private readonly allowed: Allowed) {}

  add(text: string): string {
    let out = '';
    let at = 0;
    while (at < text.length) {
      if (this.state === 'ground') {
        SPECIAL.lastIndex = at;
        const found = SPECIAL.exec(text);
        const plainEnd = found === null ? text.length : found.index;
        out += text.slice(at, plainEnd);
        at = plainEnd;
        if (found === null) break;
      }
      out += this.take(text.charCodeAt(at), text.charAt(at));
      at += 1;
    }
    return out;
  }

  // Takes one character and returns what to print.
  private take(code: number, char: string): string {
    switch (this.state) {
      case 'ground':
        return this.ground(code, char);
      case 'escape':
        return this.escape(code, char);
      case 'intermediate':
        if (code < 0x20 || code > 0x2f) this.state = 'ground';
        return '';
      case 'control':
        return this.control(code, char);
      case 'string':
        // BEL and ST end it; CAN and SUB abort it; a line end does too, so
        // that an open one does not swallow the rest.
        if (code === 0x07 || code === 0x9c || code === 0x18 || code === 0x1a || char === '\n') this.state = 'ground';
        else if (code === ESC) this.state = 'stringEscape';
        return char === '\n' ? char : '';
      case 'stringEscape':
        this.state = 'ground';
        return char === '\\' ? '' : this.escape(code, char);
    }
  }

  private ground(code: number, char: string): string {
    if (code === ESC) this.state = 'escape';
    else if (code === 0x9b) this.begin();
    else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.state = 'string';
    else if (char === '\n' || char === '\r' || char === '\t') return char;
    else if (code === 0x08) return this.allowed === 'line' ? char : '';
    else if (code >= 0x20 && (code < 0x7f || code >= 0xa0) && !turnsText(code)) return char;
    return '';
  }

  private escape(code: number, char: string): string {
    this.state = 'ground';
    if (char === '[') this.begin();
    else if (']PX^_'.includes(char)) this.state = 'string';
    else if (code >= 0x20 && code <= 0x2f) this.state = 'intermediate';
    else if (code === ESC) this.state = 'escape';
    else if (code < 0x20) return this.ground(code, char);
    return '';
  }

  private control(code: number, char: string): string {
    if (code >= 0x20 && code <= 0x3f) {
      if (this.params.length <= MAX_PARAMS) this.params += char;
      return '';
    }
    if (code === ESC) {
      this.state = 'escape';
      return '';
    }
    this.state = 'ground';
    if (code < 0x40 || code > 0x7e) return this.ground(code, char);
    const kept = FINALS[this.allowed].includes(char) && this.params.length <= MAX_PARAMS && /^[\d;:]*$/.test(this.params);
    return kept ? `\u001b[${this.params}${char}` : '';
  }

  private begin(): void {
    this.state = 'control';
    this.params = '';
  }
}

const turnsText = (code: number): boolean => (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);

// Text without escape sequences, each line as a carriage return left it.
export function plainText(text: string): string {
  return lastWritten(new Cleaner('nothing').add(text));
}

export function lastWritten(text: string): string {
  return text.replace(/\r+(?=\n|$)/g, '').replace(/[^\n\r]*\r/g, '');
}
