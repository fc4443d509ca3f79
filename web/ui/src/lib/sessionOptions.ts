import type { ApprovalMode, Config } from '../api/types';
import { durationSeconds } from './stepForm';

// The form of a new session, and the config that it makes. Empty fields are
// not sent: the server's default applies.

export interface OptionValues {
  name: string;
  approvalMode: ApprovalMode;
  timeoutSeconds: number | '';
  parallel: number | '';
  onTimeout: NonNullable<Config['on_timeout']> | '';
  escalationTimeout: string;
  onModified: NonNullable<Config['on_modified']> | '';
  whenBusy: NonNullable<Config['when_busy']> | '';
  runTimeout: string;
  sessionTTL: string;
}

export const DEFAULT_OPTIONS: OptionValues = {
  name: '',
  approvalMode: 'none',
  timeoutSeconds: '',
  parallel: 2,
  onTimeout: '',
  escalationTimeout: '',
  onModified: '',
  whenBusy: '',
  runTimeout: '',
  sessionTTL: '',
};

export function configOf(values: OptionValues): Config {
  const config: Config = { approval_mode: values.approvalMode };
  if (values.timeoutSeconds !== '') config.approval_timeout_seconds = values.timeoutSeconds;
  if (values.parallel !== '') config.parallel = values.parallel;
  if (values.onTimeout !== '') config.on_timeout = values.onTimeout;
  if (values.onTimeout === 'escalate' && values.escalationTimeout.trim() !== '') config.escalation_timeout = values.escalationTimeout.trim();
  if (values.onModified !== '') config.on_modified = values.onModified;
  if (values.whenBusy !== '') config.when_busy = values.whenBusy;
  if (values.runTimeout.trim() !== '') config.run_timeout = values.runTimeout.trim();
  if (values.sessionTTL.trim() !== '') config.session_ttl = values.sessionTTL.trim();
  return config;
}

export type DurationField = 'escalationTimeout' | 'runTimeout' | 'sessionTTL';

const DAY_S = 86_400;
const MOST_S: Record<DurationField, number> = { escalationTimeout: 30 * DAY_S, runTimeout: 30 * DAY_S, sessionTTL: 3650 * DAY_S };

// What is wrong with a duration; null if nothing.
export function durationProblem(field: DurationField, values: OptionValues): string | null {
  if (field === 'escalationTimeout' && values.onTimeout !== 'escalate') return null;
  const text = values[field].trim();
  if (text === '') return null;
  const seconds = durationSeconds(text);
  if (seconds === null) return 'A duration such as 90s, 30m, 2h or 3d';
  if (seconds < 1 || seconds > MOST_S[field]) return `From 1s to ${MOST_S[field] / 3600}h`;
  return null;
}

export const optionsValid = (values: OptionValues): boolean =>
  (['escalationTimeout', 'runTimeout', 'sessionTTL'] as const).every((field) => durationProblem(field, values) === null);
