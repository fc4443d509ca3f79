import type { Problem } from './types';

// A refusal by the server, as in its problem document.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.name = 'ApiError';
  }

  get code(): string {
    return this.problem.code ?? '';
  }
}

// No answer at all: the server is down, restarting, or the network is.
export class UnreachableError extends Error {
  constructor() {
    super('The server does not answer.');
    this.name = 'UnreachableError';
  }
}

// Whether trying again later may help without the user changing anything.
export function isTransient(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ApiError && (error.status === 502 || error.status === 503 || error.status === 504);
}

export function errorText(error: unknown): string {
  if (error instanceof ApiError) {
    const more = (error.problem.errors ?? [])
      .map((e) => [e.location, e.message].filter(Boolean).join(': '))
      .filter(Boolean);
    return more.length > 0 ? `${error.message} (${more.slice(0, 3).join('; ')})` : error.message;
  }
  return error instanceof Error ? error.message : String(error);
}

interface RequestOptions {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(path, options);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

export async function send(path: string, options: RequestOptions = {}): Promise<Response> {
  const init: RequestInit = { method: options.method ?? 'GET', headers: { ...options.headers } };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    (init.headers as Record<string, string>)['Content-Type'] = 'application/json';
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new UnreachableError();
  }
  if (!response.ok) throw new ApiError(response.status, await readProblem(response));
  return response;
}

async function readProblem(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    if (typeof body === 'object' && body !== null) return body as Problem;
  } catch {
    // Not a problem document: a proxy's page, or nothing.
  }
  return { title: response.statusText || 'Request failed', status: response.status };
}
