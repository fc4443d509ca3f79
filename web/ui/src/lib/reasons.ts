// Why an attempt or a step ended, in words.

const WORDS: Record<string, string> = {
  exit: 'failed',
  signal: 'ended by a signal',
  timeout: 'timed out',
  cancelled: 'cancelled',
  start_failed: 'could not be started',
  worker_lost: 'its worker was lost',
  supervisor_lost: 'its supervisor was lost',
  host_lost: 'its host was lost',
  orphaned: 'no worker came back to it in time',
  out_of_memory: 'out of memory',
  disk_quota: 'over the disk quota',
  too_many_processes: 'too many processes',
  output_limit: 'printed more than is kept',
  output_lost: 'what it printed cannot be recorded',
  sandbox: 'a layer of the sandbox is missing',
  plan_changed: 'the plan has changed',
};

// A reason is one of the server's words, or a sentence.
export function reasonWords(reason: string): string {
  const known = WORDS[reason];
  if (known !== undefined) return known;
  return /^[a-z]+(?:_[a-z]+)*$/.test(reason) ? reason.replaceAll('_', ' ') : reason.replace(/"([^"]*)"/g, '“$1”');
}

// Reasons that are not the program's fault: what ran it was lost, and another attempt takes its place.
const LOSSES = new Set(['worker_lost', 'supervisor_lost', 'host_lost', 'orphaned']);

export const isLoss = (reason: string | null): boolean => reason !== null && LOSSES.has(reason);

// Limits that were exceeded. They say more than the exit code or signal that they caused.
const LIMITS = new Set(['timeout', 'out_of_memory', 'disk_quota', 'too_many_processes', 'output_limit', 'output_lost', 'sandbox', 'start_failed']);

export const isLimit = (reason: string | null): boolean => reason !== null && LIMITS.has(reason);
