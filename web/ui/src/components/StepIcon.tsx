import {
  IconCircle,
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleMinus,
  IconCircleXFilled,
  IconClockPause,
  IconHandStop,
  IconLoader2,
  IconPlayerPause,
} from '@tabler/icons-react';
import type { StepStatus } from '../api/types';

const ICONS = {
  pending: IconCircleDashed,
  ready: IconCircle,
  awaiting_approval: IconHandStop,
  running: IconLoader2,
  frozen: IconPlayerPause,
  succeeded: IconCircleCheckFilled,
  failed: IconCircleXFilled,
  skipped: IconCircleMinus,
  cancelled: IconCircleMinus,
} as const;

export const STEP_LABELS: Record<StepStatus, string> = {
  pending: 'Pending',
  ready: 'Ready',
  awaiting_approval: 'Waiting for approval',
  running: 'Running',
  frozen: 'Frozen',
  succeeded: 'Succeeded',
  failed: 'Failed',
  skipped: 'Skipped',
  cancelled: 'Cancelled',
};

export function StepIcon({ status }: { status: StepStatus }) {
  const Icon = ICONS[status] ?? IconClockPause;
  return <Icon size={17} stroke={1.8} aria-hidden className={`stepicon stepicon-${status}`} />;
}
