// Requests that a script makes, and what it waits for.
import { until } from './stack.mjs';

export function apiOf(base) {
  const call = async (method, path, body) => {
    const answer = await fetch(`${base}${path}`, { method, headers: { 'Content-Type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const api = {
    get: (path) => call('GET', path),
    post: (path, body = {}) => call('POST', path, body),
    patch: (path, body) => call('PATCH', path, body),
    remove: (path) => call('DELETE', path),
    start: async (name, plan, config = {}) => (await call('POST', '/api/sessions', { name, mode: 'runbook', plan, config })).id,
    status: (id, ...wanted) =>
      until(`${id} is ${wanted.join(' or ')}`, async () => {
        const session = await api.get(`/api/sessions/${id}`);
        return wanted.includes(session.status) && session;
      }, 60_000),
    // The next question of a session that is not among those that were answered.
    question: (id, answered = []) =>
      until(`${id} asks`, async () => {
        const { approvals } = await api.get(`/api/sessions/${id}/approvals?status=pending`);
        return approvals.find((one) => !answered.includes(one.id));
      }, 60_000),
    resolve: (approval, resolution, more = {}) => call('POST', `/api/approvals/${approval.id}/resolve`, { resolution, ...more }),
    events: async (id) => {
      const events = [];
      for (let since = 0; since !== undefined; ) {
        const page = await api.get(`/api/sessions/${id}/events?since=${since}`);
        events.push(...page.events);
        since = page.next_since;
      }
      return events;
    },
  };
  return api;
}
