export type SessionTab = 'output' | 'conversation' | 'files' | 'timeline' | 'plan' | 'audit';
export const SESSION_TABS: readonly SessionTab[] = ['output', 'conversation', 'files', 'timeline', 'plan', 'audit'];

// What the address of a session's page says is shown.
export interface SessionSearch {
  tab?: SessionTab;
  run?: number; // an earlier run; the latest when absent
  step?: string;
  file?: string;
}
