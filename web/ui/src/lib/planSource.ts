import type { Plan } from '../api/types';

export const MAX_PLAN_BYTES = 5_000_000;

export interface Position {
  line: number; // 1-based
  column: number; // 1-based
}

// The character offset of a 1-based line and column, kept within the text.
export function offsetOf(source: string, position: Position): number {
  let start = 0;
  for (let line = 1; line < position.line; line++) {
    const end = source.indexOf('\n', start);
    if (end < 0) return source.length;
    start = end + 1;
  }
  const end = source.indexOf('\n', start);
  const lineEnd = end < 0 ? source.length : end;
  return Math.min(start + Math.max(0, position.column - 1), lineEnd);
}

// What to underline for a problem: from its place to the end of the word or
// value there, never across a line.
export function rangeOf(source: string, problem: Position): { from: number; to: number } {
  const from = offsetOf(source, { line: problem.line, column: problem.column });
  const rest = source.slice(from, from + 200);
  const quoted = /^"(?:[^"\\\n]|\\.)*"?/.exec(rest)?.[0];
  const word = quoted ?? /^[\w.-]+/.exec(rest)?.[0] ?? rest.slice(0, 1).replace('\n', '');
  return { from, to: from + word.length };
}

export function planFromSource(source: string): Plan | null {
  try {
    const value: unknown = JSON.parse(source);
    return typeof value === 'object' && value !== null && Array.isArray((value as Plan).steps) ? (value as Plan) : null;
  } catch {
    return null;
  }
}
