// A page of another site in a real browser tries to read and to steer a server on this machine.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

let stack;
let browser;
let site; // the other site: a name and a port of its own

before(async () => {
  stack = await startStack();
  browser = await launch();
  site = createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end('<!doctype html><title>Elsewhere</title><iframe name="sink"></iframe>');
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
});
after(async () => {
  await browser?.close();
  site?.close();
  site?.closeAllConnections();
  await stack?.stop();
});

const api = async (path, options) => (await fetch(stack.url + path, options)).json();

async function waitingSession() {
  const session = await api('/api/sessions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'Secret name', mode: 'runbook', plan: { steps: [{ id: 'a', run: ['true'], approval: true }] } }),
  });
  const [approval] = await until('it asks', async () => {
    const { pending_approvals: pending } = await api(`/api/sessions/${session.id}`);
    return pending.length > 0 && pending;
  });
  return { id: session.id, approval: approval.id };
}

// Everything in the database that an attack could change.
async function state(id) {
  const session = await api(`/api/sessions/${id}`);
  const { total } = await api('/api/sessions');
  const { audit } = await api(`/api/sessions/${id}/audit`);
  return { head: session.head_seq, version: session.version, status: session.status, pending: session.pending_approvals.length, total, audit: audit.length };
}

for (const [name, origin] of [
  ['another port of this machine', () => `http://127.0.0.1:${site.address().port}`],
  ['another name of this machine', () => `http://localhost:${site.address().port}`],
]) {
  test(`a page of ${name} gets nothing and changes nothing`, async () => {
    const { id, approval } = await waitingSession();
    const earlier = await state(id);
    const { page, context } = await openPage(browser);
    await page.goto(origin());
    const port = new URL(stack.url).port;
    const got = await page.evaluate(
      async ({ port, id, approval }) => {
        const seen = [];
        const bases = [`127.0.0.1:${port}`, `localhost:${port}`];
        const sockets = ['/ws', '/ws/', '/ws//', '/WS', '/Ws/', '/%77s', '/w%73/', '//ws', '/./ws', '/x/../ws', '/ws;x=1', '/ws?client_id=x', '/ws/?client_id=x', '/ws/.', '/ws%2f', '/api/../ws/', '/', '/api/sessions'];
        await Promise.all(
          bases.flatMap((base) =>
            sockets.map(
              (path) =>
                new Promise((resolve) => {
                  const ws = new WebSocket(`ws://${base}${path}`);
                  ws.onopen = () => {
                    seen.push(`opened ${path}`);
                    ws.send(JSON.stringify({ type: 'resolve_approval', approval_id: approval, resolution: 'approved' }));
                  };
                  ws.onmessage = (message) => seen.push(`read ${path}: ${message.data}`);
                  ws.onclose = resolve;
                  setTimeout(resolve, 10_000);
                }),
            ),
          ),
        );
        const bodies = [
          [`/api/approvals/${approval}/resolve`, { resolution: 'approved' }],
          [`/api/approvals/${approval}/extend`, { seconds: 600 }],
          [`/api/sessions/${id}/cancel`, {}],
          [`/api/sessions/${id}/suspend`, {}],
          [`/api/sessions/${id}/messages`, { content: 'x' }],
          [`/api/sessions/${id}/fork`, {}],
          ['/api/sessions', { mode: 'runbook', plan: { steps: [{ id: 'a', run: ['true'] }] } }],
        ];
        for (const base of bases) {
          for (const [path, body] of bodies) {
            for (const spelt of [path, `${path}/`, path.replace('/api', '//api')]) {
              for (const type of ['text/plain', 'text/plain;charset=utf-8', 'application/x-www-form-urlencoded', 'application/json']) {
                for (const mode of ['no-cors', 'cors']) {
                  if (mode === 'no-cors' && type === 'application/json') continue; // browsers send text/plain then
                  const answer = await fetch(`http://${base}${spelt}`, { method: 'POST', mode, credentials: 'include', headers: { 'Content-Type': type }, body: JSON.stringify(body) }).catch(() => null);
                  if (answer && answer.type !== 'opaque') seen.push(`${mode} ${spelt}: ${await answer.text()}`);
                }
              }
            }
            await fetch(`http://${base}${path}`, { method: 'POST', mode: 'no-cors' }).catch(() => null); // without a body
            navigator.sendBeacon(`http://${base}${path}`, JSON.stringify(body));
            const form = Object.assign(document.createElement('form'), { action: `http://${base}${path}`, method: 'POST', target: 'sink', enctype: 'text/plain' });
            const text = JSON.stringify({ ...body, x: '' });
            form.append(Object.assign(document.createElement('input'), { name: text.slice(0, -2), value: '"}' })); // {…,"x":"="}
            document.body.append(form);
            form.submit();
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
          for (const path of ['/api/sessions', `/api/sessions/${id}`, `/api/sessions/${id}/events`, `/api/sessions/${id}/stream`, '/api/debug/connections', '/metrics']) {
            const answer = await fetch(`http://${base}${path}`).catch(() => null);
            if (answer) seen.push(`GET ${path}: ${await answer.text()}`);
            await new Promise((resolve) => {
              const source = new EventSource(`http://${base}${path}`);
              source.onmessage = (message) => seen.push(`events ${path}: ${message.data}`);
              source.onopen = () => seen.push(`events ${path} opened`);
              source.onerror = () => {
                source.close();
                resolve();
              };
              setTimeout(resolve, 5_000);
            });
            await new Promise((resolve) => {
              const script = Object.assign(document.createElement('script'), { src: `http://${base}${path}`, onload: () => { seen.push(`script ${path}`); resolve(); }, onerror: resolve });
              document.head.append(script);
            });
          }
        }
        return seen;
      },
      { port, id, approval },
    );
    assert.deepEqual(got, []);
    assert.deepEqual(await state(id), earlier);
    // A frame of another site shows nothing either.
    await page.evaluate((url) => document.body.append(Object.assign(document.createElement('iframe'), { src: url })), `${stack.url}/sessions/${id}`);
    await page.waitForTimeout(500);
    for (const frame of page.frames()) assert.doesNotMatch(await frame.content().catch(() => ''), /Secret name/);
    await context.close();
  });
}

test('a name that was made to point here gets nothing', async () => {
  const { id } = await waitingSession();
  const port = new URL(stack.url).port;
  const rebound = await browser.browserType().launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP evil.example 127.0.0.1'],
  });
  try {
    const page = await rebound.newPage();
    const answer = await page.goto(`http://evil.example:${port}/sessions/${id}`);
    assert.equal(answer.status(), 403);
    const got = await page.evaluate(async ({ id }) => {
      const seen = [];
      for (const path of ['/api/sessions', `/api/sessions/${id}`, '//localhost/api/sessions', '/api/openapi.json']) {
        const answer = await fetch(location.origin + path).catch(() => null);
        if (answer?.ok) seen.push(path);
      }
      await new Promise((resolve) => {
        const ws = new WebSocket(`${location.origin.replace('http', 'ws')}/ws/`);
        ws.onopen = () => seen.push('ws');
        ws.onclose = resolve;
      });
      return seen;
    }, { id });
    assert.deepEqual(got, []);
  } finally {
    await rebound.close();
  }
});

test('the pages of the server itself still work', async () => {
  const { id } = await waitingSession();
  const { page, context, errors } = await openPage(browser);
  await page.goto(`${stack.url}/sessions/${id}`);
  await page.getByText('Secret name').first().waitFor();
  await page.getByRole('button', { name: 'Approve' }).first().click();
  await until('it is done', async () => (await api(`/api/sessions/${id}`)).status === 'completed', 60_000);
  assert.deepEqual(errors, []);
  await context.close();
});
