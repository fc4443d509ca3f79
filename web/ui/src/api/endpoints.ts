import { request } from './client';
import type {
  Approval,
  ApprovalMode,
  CancelReceipt,
  Example,
  Plan,
  PlanValidation,
  Resolution,
  Run,
  Session,
  StoredEvent,
  WorkspaceFile,
} from './types';

const enc = encodeURIComponent;

export interface SessionPage {
  sessions: Session[] | null;
  total?: number;
  next_cursor?: string | null;
}

export function listSessions(
  filter: { q?: string; status?: string; cursor?: string; limit?: number },
  signal?: AbortSignal,
): Promise<SessionPage> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(filter)) {
    if (value !== undefined && value !== '') query.set(key, String(value));
  }
  return request(`/api/sessions?${query.toString()}`, { signal });
}

export interface NewSession {
  name?: string;
  mode: string;
  plan: Plan;
  config: { approval_mode: ApprovalMode; approval_timeout_seconds?: number; parallel?: number };
}

export function createSession(body: NewSession, idempotencyKey: string): Promise<Session> {
  return request('/api/sessions', { method: 'POST', body, headers: { 'Idempotency-Key': idempotencyKey } });
}

export const getSession = (id: string, signal?: AbortSignal) => request<Session>(`/api/sessions/${enc(id)}`, { signal });

export const deleteSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}`, { method: 'DELETE' });

export const suspendSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}/suspend`, { method: 'POST' });

export const resumeSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}/resume`, { method: 'POST' });

export async function cancelSession(id: string): Promise<CancelReceipt> {
  const body = await request<{ receipt?: CancelReceipt } & CancelReceipt>(`/api/sessions/${enc(id)}/cancel`, {
    method: 'POST',
  });
  return body?.receipt ?? body ?? {};
}

export async function listRuns(id: string, signal?: AbortSignal): Promise<Run[]> {
  return (await request<{ runs: Run[] | null }>(`/api/sessions/${enc(id)}/runs`, { signal })).runs ?? [];
}

export async function listApprovals(id: string, signal?: AbortSignal): Promise<Approval[]> {
  return (await request<{ approvals: Approval[] | null }>(`/api/sessions/${enc(id)}/approvals`, { signal })).approvals ?? [];
}

export function resolveApproval(id: string, resolution: Resolution, feedback: string): Promise<unknown> {
  return request(`/api/approvals/${enc(id)}/resolve`, {
    method: 'POST',
    body: feedback.trim() === '' ? { resolution } : { resolution, feedback: feedback.trim() },
  });
}

export async function listFiles(id: string, signal?: AbortSignal): Promise<WorkspaceFile[]> {
  return (await request<{ files: WorkspaceFile[] | null }>(`/api/sessions/${enc(id)}/files`, { signal })).files ?? [];
}

export function fileURL(id: string, path: string, version?: string): string {
  const url = `/api/sessions/${enc(id)}/files/${path.split('/').map(enc).join('/')}`;
  return version === undefined ? url : `${url}?v=${enc(version)}`;
}

export async function listEvents(
  id: string,
  filter: { since: number; until?: number; types?: string[]; limit?: number },
  signal?: AbortSignal,
): Promise<StoredEvent[]> {
  const query = new URLSearchParams({ since: String(filter.since) });
  if (filter.until !== undefined) query.set('until', String(filter.until));
  if (filter.types !== undefined) query.set('types', filter.types.join(','));
  if (filter.limit !== undefined) query.set('limit', String(filter.limit));
  const body = await request<{ events: StoredEvent[] | null }>(`/api/sessions/${enc(id)}/events?${query}`, { signal });
  return body.events ?? [];
}

export async function listExamples(signal?: AbortSignal): Promise<Example[]> {
  return (await request<{ examples: Example[] | null }>('/api/examples', { signal })).examples ?? [];
}

export function validatePlan(source: string, signal?: AbortSignal): Promise<PlanValidation> {
  return request('/api/plans/validate', { method: 'POST', body: { source }, signal });
}
