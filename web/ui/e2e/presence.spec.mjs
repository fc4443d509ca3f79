// Several people on the same pages.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { approval, launch, openPage } from './lib/browser.mjs';
import { startProxy } from './lib/proxy.mjs';
import { startStack, until } from './lib/stack.mjs';

const SHOTS = fileURLToPath(new URL('./screenshots/', import.meta.url));
const PEOPLE = ['ada.lovelace@example.com', 'ben', 'carla', 'dmitri', 'eve', 'farid'];
const gated = { steps: [{ id: 'prepare', title: 'Prepare', shell: 'echo ready' }, { id: 'publish', title: 'Publish', shell: 'true', needs: ['prepare'], approval: true }] };

let stack;
let browser;
let doors; // each person's own way in

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  [stack, browser] = await Promise.all([startStack(), launch()]);
  doors = Object.fromEntries(await Promise.all(PEOPLE.map(async (name) => [name, await startProxy(stack.url, name)])));
});
after(async () => {
  await browser?.close();
  await Promise.all(Object.values(doors ?? {}).map((door) => door.stop()));
  await stack?.stop();
});

async function start(name, plan = gated) {
  const answer = await fetch(`${stack.url}/api/sessions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name, mode: 'runbook', config: { approval_mode: 'none' }, plan }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).id;
}

async function visit(person, id, options) {
  const opened = await openPage(browser, options);
  await opened.page.goto(`${doors[person].url}/sessions/${id}`);
  await opened.page.locator('.conn[data-status=live]').waitFor();
  return opened;
}

const viewers = (page) => page.getByRole('list', { name: 'Viewing now' });
const viewing = async (page) => viewers(page).getByRole('button').evaluateAll((buttons) => buttons.map((button) => button.getAttribute('aria-label')));
const shows = (page, ...names) => until(`the viewers are ${names.join(', ')}`, async () => (await viewing(page)).join('|') === names.join('|'), 30_000);

test('two people see each other, and who looks at the question', async () => {
  const id = await start('Seen by two');
  const ada = await visit('ada.lovelace@example.com', id);
  await approval(ada.page, /Publish/).waitFor();
  assert.equal(await viewers(ada.page).count(), 0, 'alone, one is told of nobody');

  const ben = await visit('ben', id);
  await shows(ada.page, 'ben', 'ada.lovelace@example.com · you');
  await shows(ben.page, 'ada.lovelace@example.com', 'ben · you');
  await approval(ada.page, /Publish/).getByText('ben is looking at this').waitFor();
  await approval(ben.page, /Publish/).getByText('ada.lovelace@example.com is looking at this').waitFor();

  // A second tab of the same person does not count as another person.
  const again = await visit('ben', id);
  await shows(ada.page, 'ben · 2 tabs', 'ada.lovelace@example.com · you');
  assert.equal(await approval(ben.page, /Publish/).getByText(/ben is looking/).count(), 0);
  await again.context.close();
  await shows(ada.page, 'ben', 'ada.lovelace@example.com · you');

  // Whoever moves to another page stops being a viewer of this one, and becomes one again on return.
  await ben.page.getByRole('link', { name: 'Holdfast, sessions' }).click();
  await viewers(ada.page).waitFor({ state: 'detached', timeout: 30_000 });
  await approval(ada.page, /Publish/).getByText(/is looking at this/).waitFor({ state: 'detached' });
  await ben.page.goBack();
  await shows(ada.page, 'ben', 'ada.lovelace@example.com · you');
  await approval(ada.page, /Publish/).getByText('ben is looking at this').waitFor();

  assert.deepEqual([...ada.errors, ...ben.errors], []);
  await Promise.all([ada.context.close(), ben.context.close()]);
});

test('viewers are right again after the server was killed', async () => {
  const id = await start('Seen through a crash');
  const ada = await visit('ada.lovelace@example.com', id);
  const ben = await visit('ben', id);
  await shows(ada.page, 'ben', 'ada.lovelace@example.com · you');
  process.kill(stack.pidOf('web'), 'SIGKILL');
  await ada.page.locator('.conn[data-status=reconnecting]').waitFor();
  for (const { page } of [ada, ben]) await page.locator('.conn[data-status=live]').waitFor({ timeout: 30_000 });
  await shows(ada.page, 'ben', 'ada.lovelace@example.com · you');
  await approval(ada.page, /Publish/).getByText('ben is looking at this').waitFor({ timeout: 30_000 });
  await ben.context.close();
  await viewers(ada.page).waitFor({ state: 'detached', timeout: 30_000 });
  await ada.context.close();
});

test('many viewers fit a phone and a desktop, light and dark', async () => {
  const id = await start('Seen by many');
  const others = await Promise.all(PEOPLE.slice(1).map((name) => visit(name, id)));
  for (const [device, viewport] of Object.entries({ desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } })) {
    for (const colorScheme of ['light', 'dark']) {
      const { page, context, errors } = await visit(PEOPLE[0], id, { viewport, colorScheme });
      await viewers(page).getByRole('button', { name: /^2 more/ }).waitFor({ timeout: 30_000 });
      assert.equal(await viewers(page).getByRole('button').count(), 5);
      await approval(page, /Publish/).getByText(/^\w+, \w+ and 3 others are looking at this$/).waitFor({ timeout: 30_000 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `the viewers on a ${device} are ${overflow} px too wide`);
      await page.screenshot({ path: `${SHOTS}presence-${device}-${colorScheme}.png` });
      assert.deepEqual(errors, []);
      await context.close();
    }
  }
  await Promise.all(others.map(({ context }) => context.close()));
});

test('the list of sessions is current without being polled, also after the server was killed', async () => {
  const { page, context, errors } = await openPage(browser);
  const there = await start('There from the start');
  await until('everything has settled', async () => (await (await fetch(`${stack.url}/api/sessions/${there}/approvals`)).json()).approvals.length === 1);
  let latest = Date.now();
  page.on('request', () => {
    latest = Date.now();
  });
  await page.goto(stack.url);
  await page.locator('.conn[data-status=live]').waitFor();
  const row = (name) => page.getByRole('listitem').filter({ hasText: name });
  await row('There from the start').getByText('1 approval').waitFor({ timeout: 30_000 });
  const id = await start('Made meanwhile');
  await row('Made meanwhile').getByText('1 approval').waitFor({ timeout: 30_000 });
  const { approvals } = await (await fetch(`${stack.url}/api/sessions/${id}/approvals`)).json();
  const answer = await fetch(`${stack.url}/api/approvals/${approvals[0].id}/resolve`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ resolution: 'approved' }),
  });
  assert.ok(answer.ok);
  await row('Made meanwhile').getByText('Completed').waitFor({ timeout: 30_000 });

  process.kill(stack.pidOf('web'), 'SIGKILL');
  await page.locator('.conn[data-status=reconnecting]').waitFor();
  await until('a session can be made again', () => start('Made after the crash'), 60_000);
  await row('Made after the crash').waitFor({ timeout: 60_000 });
  await until('it asks nothing for longer than a page would that polls', () => Date.now() - latest > 12_000, 90_000);
  assert.deepEqual(errors, []);
  await context.close();
});
