// The pages themselves: what a wrong plan, a wrong address and an absent server look like.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { approval, launch, openPage, pastePlan, startSession } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

const SHOTS = fileURLToPath(new URL('./screenshots/', import.meta.url));
const DOCS = fileURLToPath(new URL('../../../docs/screenshots/', import.meta.url));
const CHOSEN = ['sessions-desktop-light', 'new-desktop-light', 'session-desktop-light', 'session-desktop-dark', 'session-phone-light', 'figure-desktop-light', 'edit-desktop-light', 'conversation-desktop-dark'];

let stack;
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  [stack, browser] = await Promise.all([startStack(), launch()]);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('an empty list invites to start an example', async () => {
  const { page, context, errors } = await openPage(browser);
  await page.goto(stack.url);
  await page.getByRole('heading', { name: 'No sessions yet' }).waitFor();
  await page.locator('.empty a.card').nth(2).waitFor(); // the examples come after the heading
  assert.ok((await page.locator('.empty a.card').count()) >= 3);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a wrong plan is told by line, a click goes there, and it cannot be started', async () => {
  const { page, context } = await openPage(browser);
  await page.goto(`${stack.url}/new`);
  await pastePlan(page, '{"steps": [\n  {"id": "a", "shell": "true"},\n  {"id": "b", "shell": "true", "needs": ["nope"]}\n]}');
  const problem = page.getByRole('button', { name: /^Line 3, column \d+: .*nope/ });
  await problem.waitFor();
  assert.equal(await page.getByRole('button', { name: 'Start session' }).isDisabled(), true);
  await problem.click();
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Plan as JSON');
  assert.match(await page.locator('.cm-activeLine').innerText(), /"b"/);
  await pastePlan(page, '{"steps": [');
  await page.getByRole('button', { name: /^Line 1, column/ }).first().waitFor();
  await context.close();
});

test('a double click makes one session', async () => {
  const { page, context } = await openPage(browser);
  await page.goto(`${stack.url}/new`);
  await pastePlan(page, { steps: [{ id: 'a', shell: 'true' }] });
  await page.getByRole('textbox', { name: 'Name' }).fill('Only one');
  await page.getByRole('combobox', { name: 'Ask for approval of' }).selectOption('none');
  const start = page.getByRole('button', { name: 'Start session' });
  await page.getByText(/^Valid/).waitFor();
  await start.dblclick();
  await page.waitForURL(/\/sessions\//);
  const { sessions } = await (await page.request.get(`${stack.url}/api/sessions?q=Only%20one`)).json();
  assert.equal(sessions.length, 1);
  await context.close();
});

test('unknown addresses and sessions have a page of their own', async () => {
  const { page, context, errors } = await openPage(browser);
  await page.goto(`${stack.url}/sessions/00000000-0000-4000-8000-000000000000`);
  await page.getByRole('heading', { name: 'No such session' }).waitFor();
  await page.goto(`${stack.url}/nowhere/at/all`);
  await page.getByRole('heading', { name: 'No such page' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('the list follows sessions made elsewhere, and can be searched and filtered', async () => {
  const { page, context } = await openPage(browser);
  await page.goto(stack.url);
  await page.getByRole('list', { name: 'Sessions' }).waitFor();
  await page.request.post(`${stack.url}/api/sessions`, {
    data: { name: 'From elsewhere', mode: 'runbook', plan: { steps: [{ id: 'a', title: 'Gate', shell: 'true', approval: true }] } },
  });
  const row = page.getByRole('listitem').filter({ hasText: 'From elsewhere' });
  await row.getByText('1 approval').waitFor();
  await page.getByRole('textbox', { name: 'Search sessions' }).fill('elsewhere');
  await until('only one row is left', async () => (await page.locator('.rows > li').count()) === 1);
  await page.getByRole('combobox', { name: 'Filter by status' }).selectOption('failed');
  await page.getByRole('heading', { name: 'No session matches' }).waitFor();
  await page.getByRole('button', { name: 'Clear the filter' }).click();
  await row.getByRole('link').click();
  await approval(page, /Gate/).getByRole('button', { name: 'Approve' }).click();
  await page.locator('.session-head [data-status=completed]').waitFor();
  await context.close();
});

test('every page fits a phone and a desktop, light and dark', async () => {
  const { page: maker, context: making } = await openPage(browser);
  const id = await startSession(maker, stack.url, spectrumLike(), { name: 'Noisy signal, power spectrum' });
  await approval(maker, /Publish/).waitFor({ timeout: 30_000 });
  await making.close();
  const post = (path, data) => browserless(`${stack.url}/api/${path}`, data);
  await post(`sessions/${id}/messages`, { content: 'Then the same with twice the samples, please.' });
  const { approvals } = await (await fetch(`${stack.url}/api/sessions/${id}/approvals`)).json();
  await post(`approvals/${approvals[0].id}/extend`, { seconds: 86_400 });
  const pages = {
    sessions: { path: '/', ready: (p) => p.getByRole('list', { name: 'Sessions' }) },
    new: { path: '/new?example=spectrum', ready: (p) => p.getByText(/^Valid/) },
    session: { path: `/sessions/${id}`, ready: (p) => approval(p, /Publish/) },
    figure: { path: `/sessions/${id}?tab=files&file=figure.svg`, ready: (p) => p.locator('img.preview-image') },
    timeline: { path: `/sessions/${id}?tab=timeline`, ready: (p) => p.getByRole('list', { name: 'Events' }) },
    conversation: { path: `/sessions/${id}?tab=conversation`, ready: (p) => p.getByRole('list', { name: 'Conversation' }) },
    audit: { path: `/sessions/${id}?tab=audit`, ready: (p) => p.getByRole('table', { name: 'Audit trail' }) },
    edit: { path: `/sessions/${id}`, ready: editing },
    plan: { path: `/sessions/${id}?tab=plan`, ready: (p) => p.locator('.plan .plansteps') },
  };
  for (const [device, viewport] of Object.entries({ desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 }, small: { width: 360, height: 640 } })) {
    for (const colorScheme of ['light', 'dark']) {
      const { page, context, errors } = await openPage(browser, { viewport, colorScheme });
      for (const [name, { path, ready }] of Object.entries(pages)) {
        await page.goto(stack.url + path);
        await (await ready(page)).first().waitFor();
        await page.waitForTimeout(300); // let the terminal paint: a picture, not an assertion
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${name} on a ${device} is ${overflow} px too wide`);
        await page.screenshot({ path: `${SHOTS}${name}-${device}-${colorScheme}.png` });
      }
      assert.deepEqual(errors, []);
      await context.close();
    }
  }
  if (process.env.UPDATE_SCREENSHOTS === '1') {
    mkdirSync(DOCS, { recursive: true });
    for (const name of CHOSEN) cpSync(`${SHOTS}${name}.png`, `${DOCS}${name}.png`);
  }
});

test('a server that stays away is told plainly, and the page recovers by itself', async () => {
  const { page, context } = await openPage(browser);
  await page.goto(stack.url);
  await page.locator('.conn[data-status=live]').waitFor();
  await page.context().setOffline(true);
  await page.evaluate(() => window.dispatchEvent(new Event('online'))); // asks for a sign of life
  await page.getByRole('alert').filter({ hasText: 'The server does not answer' }).waitFor({ timeout: 30_000 });
  await page.context().setOffline(false);
  await page.locator('.conn[data-status=live]').waitFor({ timeout: 30_000 });
  await context.close();
});

// The editor of the step that is asked about, with a change in it.
async function editing(page) {
  await approval(page, /Publish/).getByRole('button', { name: 'Edit the step…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Shell command' }).fill('mkdir -p out && cp figure.svg signal.csv out/');
  await dialog.getByText('It is asked about again, as edited.').waitFor();
  return dialog.locator('.diff-added');
}

async function browserless(url, data) {
  const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(data) });
  assert.ok(answer.ok, `${url}: ${answer.status}`);
}

function spectrumLike() {
  return {
    steps: [
      { id: 'simulate', title: 'Synthesise a signal', shell: 'for i in 1 2 3 4 5 6 7 8; do printf "sample block %d  rms=%d.%d\\n" $i $i $((i*7%10)); done; printf "t,x\\n0,1\\n1,2\\n" > signal.csv' },
      { id: 'draw', title: 'Draw the figure', shell: "printf '\\033[32mdrawing\\033[0m 10%%\\rdrawing 100%%\\n'; printf '%s' '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"320\"><path d=\"M0 300 H150 L165 40 L180 300 H400 L412 160 L424 300 H640\" fill=\"none\" stroke=\"#2c60be\" stroke-width=\"2\"/></svg>' > figure.svg", needs: ['simulate'] },
      { id: 'publish', title: 'Publish', shell: 'mkdir -p out && cp figure.svg out/', needs: ['draw'], approval: true },
    ],
  };
}
