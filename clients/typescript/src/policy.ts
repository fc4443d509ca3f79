import { CLOSE_RULES, RETRYABLE_CODES } from './codes.js';

// When to reconnect after a close, and how long to wait first. The rules are
// in docs/clients.md and, as test vectors, in clients/policy.json; the command
// line's Go client is tested with the same vectors.

export const CONNECT_WITHIN_MS = 10_000;
export const PING_EVERY_MS = 8_000; // without a frame
export const PONG_WITHIN_MS = 4_000;
export const STABLE_AFTER_MS = 5_000; // a connection that lived this long resets the waits
export const AT_ONCE_AFTER_MS = 1_000; // a server that goes away sooner than this is failing, whatever it says
export const ASK_AGAIN_AFTER_MS = 5_000; // between two requests for the same missing stretch

export const BACKOFF_BASE_MS = 300;
export const BACKOFF_CAP_MS = 10_000;
export const BACKOFF_FLOOR_MS = 50;
const RETRY_AFTER_CAP_MS = 300_000;

export const CLOSE_NORMAL = 1000;
export const CLOSE_ABNORMAL = 1006; // the connection broke without a close frame
const CLOSE_TRY_AGAIN_LATER = 1013;

export type CloseAction = (typeof CLOSE_RULES)[number]['action'];

// What a client must do after a close code, and why, in words.
export function onClose(code: number, reason: string): { action: CloseAction; why: string } {
  const rule = CLOSE_RULES.find(({ from, to }) => from <= code && code <= to) ?? { action: 'backoff' as const, why: 'the connection was lost', says: true };
  return { action: rule.action, why: rule.says && reason !== '' ? reason : sentence(rule.why) };
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

// Exponential backoff with full jitter: uniform in [0, min(cap, base·2^attempt)),
// with a small floor so that a try is never a busy loop. attempt counts from 0;
// random is in [0, 1).
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 20));
  return Math.max(BACKOFF_FLOOR_MS, Math.floor(random * ceiling));
}

// How long a close's reason asks to stay away: "retry after N s"; 0 when it does not say.
export function retryAfter(reason: string): number {
  const seconds = /\bretry after (\d+(?:\.\d+)?) s\b/i.exec(reason)?.[1];
  return seconds === undefined ? 0 : Math.min(RETRY_AFTER_CAP_MS, Math.round(Number(seconds) * 1_000));
}

export interface Closed {
  code: number;
  reason: string;
  livedMs: number; // 0 when it was never open
}

// What to do after a close. waitMs is null when there is nothing to do.
export interface Next {
  action: CloseAction;
  why: string;
  waitMs: number | null;
}

// Counts the connections that did not live, so that the waits grow.
export class Reconnect {
  private failed = 0;

  get failures(): number {
    return this.failed;
  }

  reset(): void {
    this.failed = 0;
  }

  after({ code, reason, livedMs }: Closed, random: number): Next {
    if (livedMs >= STABLE_AFTER_MS) this.failed = 0;
    const { action, why } = onClose(code, reason);
    if (action === 'stop') return { action, why, waitMs: null };
    const asked = code === CLOSE_TRY_AGAIN_LATER ? retryAfter(reason) : 0;
    const atOnce = action === 'at once' && livedMs >= AT_ONCE_AFTER_MS;
    const waitMs = atOnce ? 0 : asked + backoff(this.failed, random);
    this.failed += 1;
    return { action, why, waitMs };
  }
}

// Whether the server may accept a frame later that it refused with this code.
export function mayBeAskedAgain(code: string): boolean {
  return RETRYABLE_CODES.has(code);
}
