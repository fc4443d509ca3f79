// The public vocabulary of the server, as the UI uses it.

export type SessionStatus = 'active' | 'suspended' | 'completed' | 'failed' | 'cancelled' | 'expired';
export type Phase = 'idle' | 'planning' | 'awaiting_approval' | 'executing' | 'reviewing';
export type StepStatus =
  | 'pending'
  | 'ready'
  | 'awaiting_approval'
  | 'running'
  | 'frozen'
  | 'succeeded'
  | 'failed'
  | 'skipped'
  | 'cancelled';
export type ApprovalStatus = 'pending' | 'resolved' | 'expired' | 'cancelled' | 'void';
export type Resolution = 'approved' | 'rejected' | 'modified' | 'retry' | 'skip' | 'abort';
export type ApprovalMode = 'none' | 'after_planning' | 'before_each_step' | 'on_error' | 'all';

export interface PlanStep {
  id: string;
  title?: string;
  run?: string[];
  shell?: string;
  agent?: string;
  task?: string;
  needs?: string[];
  timeout?: string;
  retries?: number;
  approval?: boolean;
  env?: Record<string, string>;
}

export interface Plan {
  steps: PlanStep[];
  files?: Record<string, string>;
}

export interface SessionConfig {
  approval_mode?: ApprovalMode;
  approval_timeout_seconds?: number;
  parallel?: number;
}

export interface Approval {
  id: string;
  session_id: string;
  run_id: string;
  step_id?: string | null;
  approval_type: string;
  description: string;
  options: Resolution[];
  context?: Record<string, unknown> | null;
  digest: string;
  status: ApprovalStatus;
  resolution?: Resolution | null;
  feedback?: string | null;
  actor?: string | null;
  created_at: string;
  expires_at?: string | null;
  remaining_seconds?: number | null;
  resolved_at?: string | null;
}

export interface Session {
  id: string;
  name: string;
  mode: string;
  status: SessionStatus;
  phase: Phase;
  owner: string;
  task?: string | null;
  config?: SessionConfig | null;
  plan?: Plan | null;
  current_step?: string | null;
  head_seq: number;
  pending_approvals?: Approval[] | null;
  totals?: { runs?: number; steps?: number; cost_usd?: number; tokens?: number } | null;
  workflow_id?: string;
  version?: number;
  created_at: string;
  updated_at: string;
  expires_at?: string | null;
}

export interface Attempt {
  number: number;
  status: string;
  exit_code?: number | null;
  signal?: string | null;
  reason?: string | null;
  started_at?: string | null;
  finished_at?: string | null;
  cpu_seconds?: number | null;
  max_rss_bytes?: number | null;
  host?: string | null;
}

export interface Step {
  id: string;
  title: string;
  kind: string;
  needs?: string[] | null;
  status: StepStatus;
  reason?: string | null;
  attempts?: Attempt[] | null;
}

export interface Run {
  id: string;
  session_id: string;
  number: number;
  status: string;
  steps?: Step[] | null;
  started_at?: string | null;
  finished_at?: string | null;
  error?: string | null;
}

export interface WorkspaceFile {
  path: string;
  size: number;
  modified_at: string;
  media_type?: string;
}

export interface Example {
  id: string;
  title: string;
  description: string;
  plan?: Plan;
  source: string;
}

export interface PlanProblem {
  line?: number;
  column?: number;
  location?: string;
  message: string;
  value?: unknown;
}

export interface PlanValidation {
  valid: boolean;
  plan?: Plan | null;
  problems?: PlanProblem[] | null;
}

export interface CancelReceipt {
  processes_killed?: number;
  survivors?: number;
  artifacts_kept?: number | string[] | null;
  cost_usd?: number;
  unreachable_hosts?: string[] | null;
}

export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  errors?: { location?: string; message?: string; value?: unknown }[] | null;
  request_id?: string;
}

export interface StoredEvent {
  event_type: string;
  seq: number;
  timestamp: string;
  session_id: string;
  run_id?: string;
  step_id?: string;
  data?: Record<string, unknown> | null;
}
