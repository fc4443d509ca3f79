// A page reads what it shows once. From then on events change it, and nothing is read again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';
import { apiOf } from './lib/api.mjs';
import { approval, launch, openPage } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

let stack;
let browser;
let vite;
let api;
let foldProjection; // the page's own

before(async () => {
  vite = await createServer({ root: fileURLToPath(new URL('..', import.meta.url)), logLevel: 'error', server: { middlewareMode: true, ws: false }, appType: 'custom' });
  [stack, browser, { foldProjection }] = await Promise.all([startStack(), launch(), vite.ssrLoadModule('/src/session/projection.ts')]);
  api = apiOf(stack.url);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
  await vite?.close();
});

// What a page reads of the server, by path.
function readsOf(page) {
  const reads = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() === 'GET' && pathname.startsWith('/api/')) reads.push(pathname);
  });
  return reads;
}

const asking = { steps: [{ id: 'one', title: 'First', shell: 'echo one > a.txt', approval: true }, { id: 'two', title: 'Second', shell: 'echo two', needs: ['one'], approval: true }] };

test('a session with a short log is read once, with what it asks, and shown to its end without another', async () => {
  const id = await api.start('Read once', asking);
  const { id: first } = await api.question(id); // so that it is read with the session, and does not come as an event
  const { page, context, errors } = await openPage(browser);
  const reads = readsOf(page);
  await page.goto(`${stack.url}/sessions/${id}`);
  await approval(page, /First/).waitFor();
  await page.locator('.conn[data-status=live]').waitFor();
  assert.deepEqual(reads.sort(), [`/api/approvals/${first}/subject`, `/api/sessions/${id}/projection`], 'the session, and what it asks');
  reads.length = 0;

  await approval(page, /First/).getByRole('button', { name: 'Approve' }).click();
  await approval(page, /Second/).waitFor({ timeout: 30_000 });
  const second = await api.question(id);
  await api.post(`/api/approvals/${second.id}/extend`, { seconds: 300 });
  await page.getByText('5m 0s added').or(page.getByText(/5.* added/)).first().waitFor();
  await api.post(`/api/sessions/${id}/suspend`);
  await page.locator('.session-head [data-status=suspended]').waitFor();
  await api.post(`/api/sessions/${id}/resume`);
  await page.locator('.session-head [data-status=active]').waitFor();
  const { version } = await api.get(`/api/sessions/${id}`);
  await api.patch(`/api/sessions/${id}`, { name: 'Renamed meanwhile', version });
  await page.getByRole('heading', { name: 'Renamed meanwhile' }).waitFor();
  await api.resolve(second, 'approved');
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await page.getByRole('button', { name: 'Second: Succeeded' }).waitFor();
  await api.post(`/api/sessions/${id}/messages`, { content: 'once more' });
  const third = await api.question(id, [second.id]);
  await approval(page, /First/).waitFor({ timeout: 30_000 });
  await api.resolve(third, 'rejected', { feedback: 'enough' });
  await page.locator('.session-head [data-status=failed], .session-head [data-status=completed]').first().waitFor({ timeout: 30_000 });
  const shot = new URL('./screenshots/fold-session.png', import.meta.url);
  await page.screenshot({ path: fileURLToPath(shot) });
  assert.deepEqual(reads, [], 'no event made the page read anything');

  const look = async (p) => [await p.locator('.session-head').innerText(), await p.getByRole('region', { name: 'Approvals' }).innerText(), await p.locator('.session-body .steps, .session-body nav').first().innerText().catch(() => '')]
    .map((text) => text.replace(/\d+(?:\.\d+)?\s*(?:ms|s|m|h)\b(?: ago)?|just now|\d+ viewers?/g, '…'));
  const fresh = await openPage(browser);
  await fresh.page.goto(`${stack.url}/sessions/${id}`);
  await fresh.page.getByRole('heading', { name: 'Renamed meanwhile' }).waitFor();
  await until('a page that was opened now shows the same', async () => {
    const [here, there] = [await look(page), await look(fresh.page)];
    assert.deepEqual(here.slice(1), there.slice(1));
    return true;
  });
  assert.deepEqual([...errors, ...fresh.errors], []);
  await fresh.context.close();
  await context.close();
});

test('the list follows every session without reading again, filtered or not', async () => {
  const { page, context, errors } = await openPage(browser);
  const filtered = await openPage(browser);
  const first = await api.start('Listed before', { steps: [{ id: 'a', shell: 'true' }] });
  await api.status(first, 'completed');
  await page.goto(stack.url);
  await filtered.page.goto(`${stack.url}/?status=completed&q=listed`);
  for (const p of [page, filtered.page]) {
    await p.getByRole('link', { name: 'Listed before' }).waitFor();
    await p.locator('.conn[data-status=live]').waitFor();
  }
  const reads = [readsOf(page), readsOf(filtered.page)];
  const id = await api.start('Listed later', asking);
  const row = (p) => p.getByRole('link', { name: 'Listed later' });
  await row(page).getByText('1 approval').waitFor({ timeout: 30_000 });
  assert.equal(await row(filtered.page).count(), 0);
  const one = await api.question(id);
  await api.resolve(one, 'approved');
  await api.resolve(await api.question(id, [one.id]), 'approved');
  await row(filtered.page).waitFor({ timeout: 30_000 });
  await row(page).locator('[data-status=completed]').waitFor();
  await page.screenshot({ path: fileURLToPath(new URL('./screenshots/fold-list.png', import.meta.url)) });
  const { version } = await api.get(`/api/sessions/${id}`);
  await api.patch(`/api/sessions/${id}`, { name: 'Another name', version });
  await row(filtered.page).waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Another name' }).waitFor();
  await api.remove(`/api/sessions/${id}`);
  await page.getByRole('link', { name: 'Another name' }).waitFor({ state: 'detached' });
  assert.deepEqual(reads, [[], []], 'no change made a list read anything');
  assert.deepEqual([...errors, ...filtered.errors], []);
  await filtered.context.close();
  await context.close();
});

// What is left out of a comparison: clocks, and contexts that the server leaves out of lists.
function comparable(projection) {
  const whole = JSON.parse(JSON.stringify(projection));
  delete whole.at;
  delete whole.session.updated_at;
  delete whole.session.head_seq; // the projection's seq says it
  const left = ['remaining_seconds', 'context', 'context_truncated', 'subject'];
  const approvals = whole.approvals.map((one) => Object.fromEntries(Object.entries(one).filter(([field]) => !left.includes(field))));
  return { ...whole, approvals };
}

// Reads the projection again and again while a scenario plays; folds what came after each into it, and compares that
// with what the server has in the end.
async function folds(id, play) {
  const read = () => api.get(`/api/sessions/${id}/projection`);
  const taken = [await read()];
  let over = false;
  const sampling = (async () => {
    while (!over) {
      taken.push(await read());
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  })();
  try {
    await play();
  } finally {
    over = true;
    await sampling;
  }
  const last = await settled(id, read);
  const events = (await api.events(id)).filter((event) => event.seq <= last.seq);
  for (const projection of taken) {
    assert.deepEqual(comparable(events.reduce(foldProjection, projection)), comparable(last), `from seq ${projection.seq} to ${last.seq}`);
  }
  return events;
}

// The projection when all that was running has ended, which a step may do after its session.
async function settled(id, read) {
  return until(`${id} has come to rest`, async () => {
    const projection = await read();
    const attempts = projection.runs.flatMap((run) => run.steps.flatMap((step) => step.attempts));
    return attempts.every((attempt) => attempt.status !== 'running') && projection;
  }, 60_000);
}

test('a log folded into any earlier projection is what the server has', { timeout: 240_000 }, async (t) => {
  const one = (more = {}) => ({ steps: [{ id: 'a', title: 'A', shell: 'echo a', ...more }] });
  await t.test('with approvals that are given, extended, edited and refused', async () => {
    const id = await api.start('Decided', asking);
    await folds(id, async () => {
      const first = await api.question(id);
      await api.post(`/api/approvals/${first.id}/extend`, { seconds: 60 });
      await api.resolve(first, 'modified', { modifications: { shell: 'echo edited' }, feedback: 'so' });
      const again = await api.question(id, [first.id]);
      await api.resolve(again, 'approved');
      await api.resolve(await api.question(id, [first.id, again.id]), 'rejected');
      await api.status(id, 'failed', 'completed', 'cancelled');
    });
  });
  await t.test('with a plan that is replaced', async () => {
    const id = await api.start('Planned', one(), { approval_mode: 'after_planning' });
    await folds(id, async () => {
      const first = await api.question(id);
      await api.resolve(first, 'modified', { modifications: { plan: { steps: [{ id: 'b', shell: 'true' }, { id: 'c', shell: 'true', needs: ['b'] }] } } });
      await api.resolve(await api.question(id, [first.id]), 'approved');
      await api.status(id, 'completed');
    });
  });
  await t.test('with steps that fail, are tried again and skipped', async () => {
    const id = await api.start('Failing', { steps: [{ id: 'a', shell: 'exit 3', retries: 1 }, { id: 'b', shell: 'true', needs: ['a'] }, { id: 'c', shell: 'exit 4', on_error: 'ask' }] });
    await folds(id, async () => {
      await api.resolve(await api.question(id), 'skip');
      await api.status(id, 'failed', 'completed');
    });
  });
  await t.test('with an approval that expires, suspends and is asked again', async () => {
    const id = await api.start('Late', one({ approval: true }), { approval_timeout_seconds: 1 });
    await folds(id, async () => {
      const first = await api.question(id);
      await api.status(id, 'suspended');
      await api.post(`/api/approvals/${first.id}/reopen`);
      await api.resolve(await api.question(id, [first.id]), 'approved');
      await api.status(id, 'completed');
    });
  });
  await t.test('with messages that wait, are answered and dropped, a suspend and a cancel', async () => {
    const id = await api.start('Talking', one({ shell: 'sleep 2; echo "$HOLDFAST_MESSAGE"' }));
    const events = await folds(id, async () => {
      await api.post(`/api/sessions/${id}/messages`, { content: 'first' });
      await api.post(`/api/sessions/${id}/messages`, { content: 'second' });
      await until('the second run goes', async () => (await api.get(`/api/sessions/${id}/runs`)).runs.length === 2, 60_000);
      await api.post(`/api/sessions/${id}/suspend`);
      await api.status(id, 'suspended');
      await api.post(`/api/sessions/${id}/cancel`);
      await api.status(id, 'cancelled');
    });
    assert.equal(events.filter((event) => event.event_type === 'message_dropped').length, 1);
  });
  await t.test('with another name, and a cancel while it is suspended', async () => {
    const id = await api.start('First name', one({ approval: true }));
    const events = await folds(id, async () => {
      await api.question(id);
      const { version } = await api.get(`/api/sessions/${id}`);
      await api.patch(`/api/sessions/${id}`, { name: 'Second name', version });
      await api.post(`/api/sessions/${id}/suspend`);
      await api.status(id, 'suspended');
      await api.post(`/api/sessions/${id}/cancel`);
      await api.status(id, 'cancelled');
    });
    assert.ok(events.some((event) => event.event_type === 'session_renamed'));
  });
  await t.test('with an approval that escalates', async () => {
    const id = await api.start('Urgent', one({ approval: true, on_timeout: 'escalate' }), { approval_timeout_seconds: 1, escalation_timeout: '2m' });
    const events = await folds(id, async () => {
      const asked = await api.question(id);
      await until('it has escalated', async () => (await api.get(`/api/approvals/${asked.id}`)).escalated_at, 60_000);
      await api.resolve(asked, 'approved');
      await api.status(id, 'completed');
    });
    assert.ok(events.some((event) => event.event_type === 'approval_escalated'));
  });
  await t.test('with an approval that is refused because nobody answers', async () => {
    const id = await api.start('Unanswered', one({ approval: true, on_timeout: 'reject' }), { approval_timeout_seconds: 1 });
    await folds(id, () => api.status(id, 'failed', 'completed', 'cancelled'));
  });
  await t.test('with a question that a program asks', async () => {
    const id = await api.start('Program', one({ shell: 'holdfast ask "Go on?"' }));
    const events = await folds(id, async () => {
      await api.resolve(await api.question(id), 'approved');
      await api.status(id, 'completed');
    });
    assert.ok(events.some((event) => event.event_type === 'approval_requested' && event.data.approval_type === 'program_ask'));
  });
  await t.test('with a message that interrupts', async () => {
    const id = await api.start('Busy', one({ shell: '[ -n "$HOLDFAST_MESSAGE" ] || sleep 60' }), { when_busy: 'interrupt' });
    const events = await folds(id, async () => {
      await until('it runs', async () => (await api.get(`/api/sessions/${id}`)).current_step === 'a', 60_000);
      await api.post(`/api/sessions/${id}/messages`, { content: 'now' });
      await until('the second run goes', async () => (await api.get(`/api/sessions/${id}/runs`)).runs.length === 2, 60_000);
      await api.status(id, 'completed');
    });
    assert.ok(events.some((event) => event.event_type === 'workflow_cancelled' && event.data.reason === 'interrupted'));
  });
  await t.test('with a fork, in both logs', async () => {
    const id = await api.start('Origin', { steps: [{ id: 'a', shell: 'echo a' }, { id: 'b', shell: 'echo b', needs: ['a'] }] });
    await api.status(id, 'completed');
    await folds(id, async () => {
      const fork = await api.post(`/api/sessions/${id}/fork`, { step_id: 'a' });
      await folds(fork.id, () => api.status(fork.id, 'completed'));
    });
  });
});
