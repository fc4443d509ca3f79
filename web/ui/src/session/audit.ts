import type { AuditEntry } from '../api/types';
import { humanize } from '../lib/format';

const RESOLVED: Record<NonNullable<AuditEntry['resolution']>, string> = {
  approved: 'Approved',
  rejected: 'Rejected',
  modified: 'Edited',
  retry: 'Chose to retry',
  skip: 'Chose to skip',
  abort: 'Chose to abort',
};

const ACTIONS: Record<string, string> = {
  start: 'Started the session',
  message: 'Sent a message',
  run: 'Started a run',
  fork: 'Forked the session',
  rename: 'Renamed the session',
  delete: 'Deleted the session',
  suspend: 'Suspended the session',
  resume: 'Resumed the session',
  cancel: 'Cancelled the session',
  close: 'Closed the session',
};

// An audit entry in words. title is its step's.
export function auditWords(entry: AuditEntry, title: string | null): string {
  const about = title ?? entry.step_id ?? '';
  const what = about === '' ? 'the plan' : `“${about}”`;
  switch (entry.action) {
    case 'resolve_approval':
      return `${entry.resolution === undefined ? 'Answered' : RESOLVED[entry.resolution]} ${what}`.replace(/^(Chose to \w+) the plan$/, '$1');
    case 'extend_approval':
      return `Gave more time for ${what}`;
    case 'ask':
      return about === '' ? 'Asked' : `Asked from ${what}`;
    case 'expire':
      return entry.approval_id ? `Nobody answered about ${what} in time` : 'The session expired unused';
    default:
      return ACTIONS[entry.action] ?? humanize(entry.action);
  }
}
