export type SessionTab = 'output' | 'files' | 'timeline' | 'plan';
export const SESSION_TABS: readonly SessionTab[] = ['output', 'files', 'timeline', 'plan'];
