export type SessionTab = 'output' | 'conversation' | 'files' | 'timeline' | 'plan' | 'audit';
export const SESSION_TABS: readonly SessionTab[] = ['output', 'conversation', 'files', 'timeline', 'plan', 'audit'];

// What a session's page shows, according to its address.
export interface SessionSearch {
  tab?: SessionTab;
  run?: number; // an earlier run; the latest when absent
  step?: string;
  file?: string;
}
