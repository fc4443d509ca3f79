// The part of one session's output that this tab holds: the newest, bounded.
// All of it is in the server's log and can be downloaded from there.

export interface Chunk {
  seq: number;
  key: string; // run id / step id
  stepId: string;
  attempt: number;
  text: string;
}

// What is shown: one step of one run by its key, a whole run by its id and a
// slash, or everything.
export type Scope = string | null;

export const runScope = (runId: string): Scope => `${runId}/`;

export function inScope(key: string, scope: Scope): boolean {
  if (scope === null) return true;
  return scope.endsWith('/') ? key.startsWith(scope) : key === scope;
}

export const STEP_LIMIT_CHARS = 6_000_000;
export const TOTAL_LIMIT_CHARS = 36_000_000;

interface StepOutput {
  chunks: Chunk[];
  first: number; // index of the oldest chunk kept; the array is compacted now and then
  chars: number;
  dropped: boolean;
}

export type OutputListener = (chunk: Chunk) => void;

export class OutputBuffer {
  private readonly steps = new Map<string, StepOutput>();
  private readonly listeners = new Set<OutputListener>();
  private total = 0;

  append(chunk: Chunk): void {
    let step = this.steps.get(chunk.key);
    if (step === undefined) {
      step = { chunks: [], first: 0, chars: 0, dropped: false };
      this.steps.set(chunk.key, step);
    }
    step.chunks.push(chunk);
    step.chars += chunk.text.length;
    this.total += chunk.text.length;
    while (step.chars > STEP_LIMIT_CHARS && this.dropOldest(step));
    while (this.total > TOTAL_LIMIT_CHARS && this.dropOldest(this.biggest()));
    for (const listener of this.listeners) listener(chunk);
  }

  listen(listener: OutputListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // The chunks in a scope, in the order of the log.
  chunks(scope: Scope): Chunk[] {
    const found = this.within(scope).map((step) => step.chunks.slice(step.first));
    return found.length === 1 ? (found[0] ?? []) : found.flat().sort((a, b) => a.seq - b.seq);
  }

  // Whether any output in a scope is held here.
  has(scope: Scope): boolean {
    return this.within(scope).some((step) => step.chunks.length > step.first);
  }

  // Whether older output in a scope is no longer held here.
  droppedOlder(scope: Scope): boolean {
    return this.within(scope).some((step) => step.dropped);
  }

  private within(scope: Scope): StepOutput[] {
    return [...this.steps].filter(([key]) => inScope(key, scope)).map(([, step]) => step);
  }

  // Older output stayed on the server when the page opened.
  markPartial(key: string): void {
    const step = this.steps.get(key);
    if (step === undefined) this.steps.set(key, { chunks: [], first: 0, chars: 0, dropped: true });
    else step.dropped = true;
  }

  private dropOldest(step: StepOutput): boolean {
    if (step.chunks.length - step.first <= 1) return false;
    const oldest = step.chunks[step.first];
    if (oldest === undefined) return false;
    step.first += 1;
    step.chars -= oldest.text.length;
    this.total -= oldest.text.length;
    step.dropped = true;
    if (step.first > 512 && step.first * 2 > step.chunks.length) {
      step.chunks = step.chunks.slice(step.first);
      step.first = 0;
    }
    return true;
  }

  private biggest(): StepOutput {
    let found: StepOutput | undefined;
    for (const step of this.steps.values()) if (found === undefined || step.chars > found.chars) found = step;
    return found ?? { chunks: [], first: 0, chars: 0, dropped: false };
  }
}
