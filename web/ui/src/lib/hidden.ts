// Characters that do not show, or that change how the text around them does: control
// characters, marks that turn the direction of text, spaces without a width, letters without a shape. In what a person
// decides about they are shown as what they are. The server's schema.Attention looks for the same.

// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}\p{Bidi_Control}\u034f\u115f\u1160\u3164\uffa0\u2060-\u206f\u{e0000}-\u{e007f}]|\r(?!\n|$)/gu;

// A new expression for each caller: a global one remembers where its last search stopped.
export const hiddenCharacters = (): RegExp => new RegExp(HIDDEN);

export type Piece = string | { code: string }; // such as U+202E

// The text of one line, with what does not show taken out and named.
export function piecesOf(line: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const found of line.matchAll(HIDDEN)) {
    if (found.index > from) pieces.push(line.slice(from, found.index));
    pieces.push({ code: codeOf(found[0]) });
    from = found.index + found[0].length;
  }
  if (from < line.length || pieces.length === 0) pieces.push(line.slice(from));
  return pieces;
}

// The same where no element can stand, such as in a label.
export const spelled = (text: string): string => piecesOf(text).map((piece) => (typeof piece === 'string' ? piece : piece.code)).join('');

const codeOf = (char: string): string => `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
