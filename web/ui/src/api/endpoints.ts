import { request } from './client';
import type {
  Approval,
  AuditList,
  CancelReceipt,
  Example,
  FileList,
  MessageAnswer,
  MessageList,
  Modifications,
  NewFork,
  NewSession,
  Plan,
  PlanValidation,
  Projection,
  Resolution,
  Run,
  Session,
  SessionList,
  StoredEvent,
  Subject,
} from './types';

const enc = encodeURIComponent;

function post<T>(path: string, body: unknown, idempotencyKey: string): Promise<T> {
  return request<T>(path, { method: 'POST', body, headers: { 'Idempotency-Key': idempotencyKey } });
}

export function listSessions(
  filter: { q?: string; status?: string; cursor?: string; limit?: number },
  signal?: AbortSignal,
): Promise<SessionList> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(filter)) {
    if (value !== undefined && value !== '') query.set(key, String(value));
  }
  return request(`/api/sessions?${query.toString()}`, { signal });
}

export function createSession(body: NewSession, idempotencyKey: string): Promise<Session> {
  return post('/api/sessions', body, idempotencyKey);
}

export const getSession = (id: string, signal?: AbortSignal) => request<Session>(`/api/sessions/${enc(id)}`, { signal });

export const getProjection = (id: string, signal?: AbortSignal) => request<Projection>(`/api/sessions/${enc(id)}/projection`, { signal });

export const deleteSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}`, { method: 'DELETE' });

export const suspendSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}/suspend`, { method: 'POST' });

export const resumeSession = (id: string) => request<unknown>(`/api/sessions/${enc(id)}/resume`, { method: 'POST' });

// Null when the session was already over and there was nothing to stop.
export async function cancelSession(id: string): Promise<CancelReceipt | null> {
  const body = await request<{ receipt?: CancelReceipt }>(`/api/sessions/${enc(id)}/cancel`, { method: 'POST' });
  return body.receipt ?? null;
}

export const getApproval = (id: string, signal?: AbortSignal) => request<Approval>(`/api/approvals/${enc(id)}`, { signal });

// Everything its digest binds.
export const getSubject = (id: string, signal?: AbortSignal) => request<Subject>(`/api/approvals/${enc(id)}/subject`, { signal });

export interface Decision {
  resolution: Resolution;
  feedback?: string;
  modifications?: Modifications;
}

export function resolveApproval(id: string, decision: Decision, idempotencyKey: string): Promise<Approval> {
  const { feedback, ...rest } = decision;
  const said = feedback?.trim() ?? '';
  return post(`/api/approvals/${enc(id)}/resolve`, said === '' ? rest : { ...rest, feedback: said }, idempotencyKey);
}

export const extendApproval = (id: string, seconds: number, idempotencyKey: string) =>
  post<Approval>(`/api/approvals/${enc(id)}/extend`, { seconds }, idempotencyKey);

// Resumes the session of an expired approval, which asks again as a new one.
export const reopenApproval = (id: string, idempotencyKey: string) => post<Approval>(`/api/approvals/${enc(id)}/reopen`, {}, idempotencyKey);

export const sendMessage = (id: string, content: string, idempotencyKey: string) =>
  post<MessageAnswer>(`/api/sessions/${enc(id)}/messages`, { content }, idempotencyKey);

export const startRun = (id: string, plan: Plan, idempotencyKey: string) =>
  post<Run>(`/api/sessions/${enc(id)}/runs`, { plan }, idempotencyKey);

export const forkSession = (id: string, body: NewFork, idempotencyKey: string) =>
  post<Session>(`/api/sessions/${enc(id)}/fork`, body, idempotencyKey);

export const renameSession = (id: string, name: string, version: number) =>
  request<Session>(`/api/sessions/${enc(id)}`, { method: 'PATCH', body: { name, version } });

export function listMessages(id: string, cursor: string | undefined, signal?: AbortSignal): Promise<MessageList> {
  const query = new URLSearchParams({ limit: '200', ...(cursor === undefined ? {} : { cursor }) });
  return request(`/api/sessions/${enc(id)}/history?${query}`, { signal });
}

export function listAudit(id: string, cursor: string | undefined, signal?: AbortSignal): Promise<AuditList> {
  const query = new URLSearchParams({ limit: '100', ...(cursor === undefined ? {} : { cursor }) });
  return request(`/api/sessions/${enc(id)}/audit?${query}`, { signal });
}

export const listFiles = (id: string, signal?: AbortSignal) => request<FileList>(`/api/sessions/${enc(id)}/files`, { signal });

export function fileURL(id: string, path: string, version?: string): string {
  const url = `/api/sessions/${enc(id)}/files/${path.split('/').map(enc).join('/')}`;
  return version === undefined ? url : `${url}?v=${enc(version)}`;
}

export function exportURL(id: string): string {
  return `/api/sessions/${enc(id)}/export`;
}

export interface EventPage {
  events: StoredEvent[];
  next_since?: number; // read on from here; absent at the end
}

export function listEvents(
  id: string,
  filter: { since: number; until?: number; types?: readonly string[]; without?: readonly string[] },
  signal?: AbortSignal,
): Promise<EventPage> {
  const query = new URLSearchParams({ since: String(filter.since) });
  if (filter.until !== undefined) query.set('until', String(filter.until));
  if (filter.types !== undefined) query.set('types', filter.types.join(','));
  if (filter.without !== undefined) query.set('without', filter.without.join(','));
  return request(`/api/sessions/${enc(id)}/events?${query}`, { signal });
}

export async function listExamples(signal?: AbortSignal): Promise<Example[]> {
  return (await request<{ examples: Example[] }>('/api/examples', { signal })).examples;
}

export function validatePlan(source: string, signal?: AbortSignal): Promise<PlanValidation> {
  return request('/api/plans/validate', { method: 'POST', body: { source }, signal });
}
