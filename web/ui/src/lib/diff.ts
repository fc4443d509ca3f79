// A line diff for people: the shortest edit between two texts, with a few
// unchanged lines around each change and the rest folded away.

export interface DiffLine {
  kind: 'same' | 'added' | 'removed' | 'gap';
  text: string;
}

const CONTEXT = 2;
const MAX_CELLS = 4_000_000; // cells of the table; beyond that the middle is shown as replaced

export function diffLines(before: string, after: string): DiffLine[] {
  const a = split(before);
  const b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const all: DiffLine[] = [
    ...a.slice(0, head).map((text) => ({ kind: 'same' as const, text })),
    ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map((text) => ({ kind: 'same' as const, text })),
  ];
  return folded(all);
}

function split(text: string): string[] {
  if (text === '') return [];
  return text.replace(/\n$/, '').split('\n');
}

// Longest common subsequence by the usual table.
function middle(a: string[], b: string[]): DiffLine[] {
  const removed = (text: string): DiffLine => ({ kind: 'removed', text });
  const added = (text: string): DiffLine => ({ kind: 'added', text });
  const width = b.length + 1;
  if (a.length === 0 || b.length === 0 || (a.length + 1) * width > MAX_CELLS) return [...a.map(removed), ...b.map(added)];
  const length = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => length[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      length[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const out: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: 'same', text: a[i] ?? '' });
      i++;
      j++;
    } else if (at(i + 1, j) >= at(i, j + 1)) out.push(removed(a[i++] ?? ''));
    else out.push(added(b[j++] ?? ''));
  }
  return [...out, ...a.slice(i).map(removed), ...b.slice(j).map(added)];
}

function folded(all: DiffLine[]): DiffLine[] {
  const near = new Uint8Array(all.length);
  all.forEach((line, index) => {
    if (line.kind === 'same') return;
    for (let k = Math.max(0, index - CONTEXT); k <= Math.min(all.length - 1, index + CONTEXT); k++) near[k] = 1;
  });
  const out: DiffLine[] = [];
  let skipped = 0;
  const close = () => {
    if (skipped > 0) out.push({ kind: 'gap', text: skipped === 1 ? '1 line unchanged' : `${skipped} lines unchanged` });
    skipped = 0;
  };
  all.forEach((line, index) => {
    if (near[index] === 1) {
      close();
      out.push(line);
    } else skipped++;
  });
  close();
  return out;
}
