export type SessionTab = 'output' | 'conversation' | 'files' | 'timeline' | 'plan' | 'audit';
export const SESSION_TABS: readonly SessionTab[] = ['output', 'conversation', 'files', 'timeline', 'plan', 'audit'];
