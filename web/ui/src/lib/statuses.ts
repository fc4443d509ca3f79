import type { SessionStatus, StepStatus } from '../api/types';

export const STATUSES: readonly SessionStatus[] = ['active', 'suspended', 'completed', 'failed', 'cancelled', 'expired'];

// The tone of a status anywhere in the UI. Colour is never the only sign.
export type Tone = 'live' | 'good' | 'bad' | 'attention' | 'muted';

export function sessionTone(status: string, phase?: string): Tone {
  if (status === 'active') return phase === 'awaiting_approval' ? 'attention' : 'live';
  if (status === 'suspended') return 'attention';
  if (status === 'completed') return 'good';
  if (status === 'failed') return 'bad';
  return 'muted';
}

export function sessionLabel(status: string, phase?: string): string {
  if (status === 'active' && phase === 'awaiting_approval') return 'Waiting for approval';
  if (status === 'active' && phase !== undefined && phase !== 'idle' && phase !== '') {
    return phase === 'executing' ? 'Running' : phase.charAt(0).toUpperCase() + phase.slice(1);
  }
  return status === '' ? 'Unknown' : status.charAt(0).toUpperCase() + status.slice(1);
}

// A step with one of these produces nothing more.
export const ENDED: ReadonlySet<StepStatus> = new Set<StepStatus>(['succeeded', 'failed', 'skipped', 'cancelled']);

// A run that completed although some of its steps failed: neither good nor bad.
export interface Failures {
  failed: number;
  of: number | null; // how many steps there are, if known
}

export function failureWords({ failed, of }: Failures): string {
  return of === null ? `${failed} ${failed === 1 ? 'step' : 'steps'} failed` : `${failed} of ${of} ${of === 1 ? 'step' : 'steps'} failed`;
}

export function failuresOf(run: { failed_steps?: number; steps: readonly { status: string }[] | null }): Failures {
  const steps = run.steps ?? [];
  return { failed: run.failed_steps ?? steps.filter((step) => step.status === 'failed').length, of: steps.length };
}

export const isOver = (status: string): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'expired';
