// JSON laid out for people, for a value from somebody else: it may be nested deeper than this
// page's stack allows, or be larger than a page can show.

export interface Shown {
  text: string;
  whole: boolean; // nothing was left out
}

const MAX_DEPTH = 200;
const MAX_CHARS = 2_000_000;

export function boundedJSON(value: unknown, maxDepth = MAX_DEPTH, maxChars = MAX_CHARS): Shown {
  let [left, whole] = [maxChars, true];
  const put = (text: string): string => {
    left -= text.length;
    return text;
  };
  const layOut = (item: unknown, depth: number): string => {
    const indent = '  '.repeat(depth + 1);
    if (typeof item !== 'object' || item === null) return put(JSON.stringify(item) ?? 'null');
    const list = Array.isArray(item);
    const keys = list ? null : Object.keys(item);
    const count = keys === null ? (item as unknown[]).length : keys.length;
    if (count === 0) return put(list ? '[]' : '{}');
    if (depth >= maxDepth || left <= 0) {
      whole = false;
      return put(list ? '[…]' : '{…}');
    }
    const lines: string[] = [];
    for (let at = 0; at < count; at++) {
      if (left <= 0) {
        whole = false;
        lines.push(`${indent}…`);
        break;
      }
      const key = keys?.[at];
      const inner = key === undefined ? layOut((item as unknown[])[at], depth + 1) : `${put(JSON.stringify(key))}: ${layOut((item as Record<string, unknown>)[key], depth + 1)}`;
      lines.push(indent + inner);
    }
    const end = '  '.repeat(depth);
    return `${list ? '[' : '{'}\n${lines.join(',\n')}\n${end}${list ? ']' : '}'}`;
  };
  const text = layOut(value, 0);
  return { text, whole };
}
