// The server's vocabulary under the names the UI uses. The shapes themselves
// are generated from the server's own declarations: `make generate`.
import type { Schemas } from '@holdfast/client';

// An approval. What it is about is there when its event brought it.
export type Approval = Schemas['Approval'] & { subject?: Subject };
export type Attempt = Schemas['Attempt'];
export type Attention = Schemas['Attention'];
export type AuditEntry = Schemas['AuditEntry'];
export type AuditList = Schemas['AuditList'];
export type CancelReceipt = Schemas['Receipt'];
export type Config = Schemas['Config'];
export type Example = Schemas['Example'];
export type Message = Schemas['Message'];
export type MessageAnswer = Schemas['MessageAnswer'];
export type MessageList = Schemas['MessageList'];
export type NewFork = Schemas['NewFork'];
export type NewSession = Schemas['NewSession'];
export type Plan = Schemas['Plan'];
export type PlanProblem = Schemas['PlanProblem'];
export type PlanStep = Schemas['PlanStep'];
export type PlanValidation = Schemas['PlanValidation'];
export type Problem = Partial<Schemas['Problem']>;
export type Projection = Schemas['Projection'];
export type Run = Schemas['Run'];
export type Session = Schemas['Session'];
export type SessionList = Schemas['SessionList'];
export type Step = Schemas['Step'];
export type Subject = Schemas['Subject'];
export type StepAsks = Schemas['StepAsks'];
export type StepEdit = Schemas['StepEdit'];
export type FileList = Schemas['FileList'];
export type WorkspaceFile = Schemas['File'];

export type ApprovalMode = NonNullable<Config['approval_mode']>;
export type Modifications = NonNullable<Schemas['ResolveRequest']['modifications']>;
export type Phase = Session['phase'];
export type Resolution = Approval['options'][number];
export type SessionStatus = Session['status'];
export type StepStatus = Step['status'];

export type { EventOf, StoredEvent } from '@holdfast/client';
