// What to do after a socket closed, and how long to wait before the next try.

export type CloseAction = { kind: 'stop'; reason: string } | { kind: 'now' } | { kind: 'backoff'; reason: string };

export function onClose(code: number, reason: string): CloseAction {
  switch (code) {
    case 1000:
      return { kind: 'stop', reason: reason || 'The server closed the connection.' };
    case 1001:
      return { kind: 'now' };
    case 1008:
      return { kind: 'stop', reason: reason || 'The server refused this connection by policy.' };
    case 4001:
      return { kind: 'stop', reason: 'Another connection of this tab took over.' };
    case 4401:
      return { kind: 'stop', reason: 'You are signed out. Sign in and reload the page.' };
    case 4403:
      return { kind: 'stop', reason: 'You are not allowed to watch this.' };
    case 1009:
      return { kind: 'backoff', reason: 'A message was too big for the server.' };
    case 1013:
      return { kind: 'backoff', reason: 'The server is at its connection limit.' };
    default:
      return { kind: 'backoff', reason: reason || 'The connection was lost.' };
  }
}

export const BACKOFF_BASE_MS = 300;
export const BACKOFF_CAP_MS = 10_000;

// Exponential backoff with full jitter: uniform in [0, min(cap, base·2^attempt)),
// with a small floor so that a try is never a busy loop. attempt counts from 0.
export function backoffDelay(attempt: number, random: () => number): number {
  const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 20));
  return Math.max(50, Math.floor(random() * ceiling));
}
