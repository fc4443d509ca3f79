// What a person sees before saying yes, and what happens when two say something at once.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { approval, launch, openPage, pastePlan } from './lib/browser.mjs';
import { startProxy } from './lib/proxy.mjs';
import { startStack, until } from './lib/stack.mjs';

const SHOTS = fileURLToPath(new URL('./screenshots/', import.meta.url));
const SCRIPT = '#!/bin/sh\nset -e\ncurl -fsSL https://example.com/install | sh\n';
const DEVICES = { desktop: { width: 1280, height: 1400 }, phone: { width: 390, height: 844 } };
const LONG = Array.from({ length: 2_310 }, (_, i) => `row ${i + 1}`).join('\n');

let stack;
let browser;
let doors;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await launch();
  stack = await startStack();
  doors = Object.fromEntries(await Promise.all(['ada', 'grace'].map(async (name) => [name, await startProxy(stack.url, name)])));
});
after(async () => {
  await browser?.close();
  await Promise.all(Object.values(doors ?? {}).map((door) => door.stop()));
  await stack?.stop();
});

async function post(path, body, expected = [200, 201, 202]) {
  const answer = await fetch(`${stack.url}/api/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  assert.ok(expected.includes(answer.status), `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

const start = async (name, plan, config = {}) => (await post('sessions', { name, mode: 'runbook', config: { approval_mode: 'none', approval_timeout_seconds: 600, ...config }, plan })).id;

async function visit(id, who, options) {
  const opened = await openPage(browser, options);
  await opened.page.goto(`${who === undefined ? stack.url : doors[who].url}/sessions/${id}`);
  await opened.page.locator('.conn[data-status=live]').waitFor();
  return opened;
}

const tidy = (script = SCRIPT) => ({
  steps: [{
    id: 'tidy', title: 'Tidy up', run: ['sh', 'tidy.sh'], approval: true, network: true, on_timeout: 'approve', on_error: 'continue', timeout: '5m', memory: '512MiB',
    env: { LD_PRELOAD: './shim.so', GREETING: 'hello' },
  }],
  files: { 'tidy.sh': script },
});

test('a step is shown with all that its digest binds, and what deserves a look stands out', async () => {
  const id = await start('Tidy', tidy());
  const { page, context, errors } = await visit(id);
  const gate = approval(page, /Tidy up/);
  await gate.getByText('curl -fsSL https://example.com/install | sh', { exact: true }).waitFor();
  const text = await gate.textContent();
  for (const part of ['sh tidy.sh', 'tidy.sh', 'LD_PRELOAD=./shim.so', 'GREETING=hello', 'allowed', 'at most 5m', 'at most 512MiB', 'the run goes on without it', 'If nobody answers: it is approved.']) {
    assert.ok(text.includes(part), `${part} is missing in: ${text}`);
  }
  const chips = await gate.getByRole('list', { name: 'Deserves a look' }).getByRole('listitem').allInnerTexts();
  for (const chip of [/approves itself in (9|10) min/, /^network/, /sets LD_PRELOAD/, /runs fetched code · tidy\.sh/]) {
    assert.ok(chips.some((words) => chip.test(words)), `${chip} is missing in: ${chips}`);
  }
  assert.equal(await gate.getByRole('button', { name: 'Approve' }).isEnabled(), true);
  for (const element of await gate.locator('.bound, .bound-plan, .asked').all()) {
    assert.ok(await element.evaluate((node) => node.scrollHeight <= node.clientHeight + 2 && node.scrollWidth <= node.clientWidth + 2), 'a part is cut off');
  }

  // An edited file needs approval again, and the question shows the changes.
  const { approvals } = await (await fetch(`${stack.url}/api/sessions/${id}/approvals`)).json();
  await post(`approvals/${approvals[0].id}/resolve`, { resolution: 'modified', modifications: { files: { 'tidy.sh': SCRIPT.replace('install | sh', 'install -o x.sh') } } });
  const changed = gate.getByRole('region', { name: 'Changes to tidy.sh' });
  await changed.locator('.diff-removed', { hasText: 'install | sh' }).waitFor();
  await changed.locator('.diff-added', { hasText: 'install -o x.sh' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
  for (const [device, viewport] of Object.entries(DEVICES)) {
    for (const colorScheme of ['light', 'dark']) {
      const shot = await visit(id, undefined, { viewport, colorScheme });
      await approval(shot.page, /Tidy up/).getByText('#!/bin/sh').first().waitFor();
      const overflow = await shot.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `the question on a ${device} is ${overflow} px too wide`);
      await shot.page.screenshot({ path: `${SHOTS}decide-${device}-${colorScheme}.png` });
      await shot.context.close();
    }
  }
});

test('nothing can be approved while a part of it is folded, and a long file is whole once it is opened', async () => {
  const id = await start('Long', tidy(LONG));
  const { page, context } = await visit(id);
  const gate = approval(page, /Tidy up/);
  const approve = gate.getByRole('button', { name: 'Approve' });
  await gate.getByText('Not shown: tidy.sh (2,310 lines).').waitFor();
  assert.equal(await approve.isDisabled(), true);
  assert.equal(await gate.getByRole('button', { name: 'Reject' }).isEnabled(), true, 'a no needs no reading');
  await gate.getByRole('button', { name: 'Show all 2,310 lines' }).click();
  await gate.getByText('row 2310', { exact: true }).waitFor({ state: 'attached' });
  assert.equal(await gate.locator('.bound-line').filter({ hasText: /^row / }).count(), 2_310);
  await until('it can be approved', () => approve.isEnabled());
  assert.ok((await approve.boundingBox()).y < 800, 'the buttons stay in sight above the long text');
  await gate.getByRole('button', { name: 'Show less' }).click();
  await gate.getByText('Not shown: tidy.sh (2,310 lines).').waitFor();
  assert.equal(await approve.isDisabled(), true, 'what was folded again is not above the button');
  await gate.getByRole('button', { name: 'Show everything' }).click();
  await until('it can be approved again', () => approve.isEnabled());
  await context.close();
});

test('a text that was opened for one question is not taken as shown with another that has it folded', async () => {
  const step = (id, needs = []) => ({ id, title: `Step ${id}`, run: ['sh', 'tidy.sh'], approval: true, on_error: 'continue', needs });
  const id = await start('Twice', { steps: [step('one'), step('two'), step('three', ['one'])], files: { 'tidy.sh': `exit 0\n${LONG}` } });
  const { page, context } = await visit(id);
  const [one, two, three] = ['one', 'two', 'three'].map((name) => approval(page, `Approve “Step ${name}”`));
  await two.getByText('Not shown: tidy.sh (2,311 lines).').waitFor();
  await one.getByRole('button', { name: 'Show everything' }).click();
  await until('the one can be approved', () => one.getByRole('button', { name: 'Approve' }).isEnabled());
  await two.getByRole('textbox', { name: 'Feedback' }).fill('drawn again');
  assert.equal(await two.locator('.bound[data-folded]').count(), 1);
  assert.equal(await two.getByRole('button', { name: 'Approve' }).isDisabled(), true);

  // A later question begins with it unfolded, and can be approved at once.
  await one.getByRole('button', { name: 'Approve' }).click();
  await three.getByText('row 2310', { exact: true }).waitFor({ state: 'attached' });
  assert.equal(await three.getByRole('button', { name: 'Approve' }).isEnabled(), true);
  await context.close();
});

test('every open question can be reached, however many there are', async () => {
  const steps = Array.from({ length: 250 }, (_, i) => ({ id: `s${i + 1}`, title: `Step ${i + 1}`, shell: 'true' }));
  const id = await start('Many', { steps }, { approval_mode: 'before_each_step' });
  const open = async () => (await (await fetch(`${stack.url}/api/sessions/${id}`)).json()).pending_approvals;
  await until('all ask', async () => (await open()).length === steps.length, 60_000);
  const [oldest] = await open();
  const { page, context, errors } = await visit(id, 'ada');
  const questions = page.getByRole('group', { name: /^Approve “Step/ });
  await page.getByText('240 more wait for a decision.').waitFor();
  assert.equal(await questions.count(), 10);
  await page.getByRole('button', { name: 'Show 20 more' }).click();
  await page.getByText('220 more wait for a decision.').waitFor();
  assert.equal(await questions.count(), 30);

  // The oldest is beyond the newest 200; text typed there is kept all the same.
  const first = questions.first();
  assert.equal(await first.getAttribute('aria-label'), `Approve “${steps.find((step) => step.id === oldest.step_id).title}”`);
  await first.getByRole('textbox', { name: 'Feedback' }).fill('I think that');
  await fetch(`${doors.grace.url}/api/approvals/${oldest.id}/resolve`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"resolution":"approved"}' });
  await page.getByRole('alert').filter({ hasText: 'Approved by grace' }).getByText('I think that').waitFor();
  await page.getByText('219 more wait for a decision.').waitFor();

  // An open edit is kept too, while somebody else decides.
  const [second] = await open();
  await first.getByRole('button', { name: 'Edit the step…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Shell command' }).fill('false');
  await fetch(`${doors.grace.url}/api/approvals/${second.id}/resolve`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"resolution":"approved"}' });
  await dialog.getByText(/was closed meanwhile \(approved by grace\)/).waitFor();
  assert.equal(await dialog.getByRole('textbox', { name: 'Shell command' }).inputValue(), 'false');
  assert.deepEqual(errors, []);
  for (const [device, viewport] of Object.entries(DEVICES)) {
    const shot = await visit(id, undefined, { viewport });
    await shot.page.getByText(/more wait for a decision/).scrollIntoViewIfNeeded();
    await shot.page.screenshot({ path: `${SHOTS}many-${device}.png` });
    await shot.context.close();
  }
  await context.close();
});

const TURNED = /[\u200b\u202e]/;

test('characters that do not show are named wherever a person decides', async () => {
  const ask = 'holdfast ask "Keep \u202e?atad ruoy" --option "y\u200bes" --option no';
  const id = await start('Turned', { steps: [
    { id: 'ask', title: 'A\u202esk', shell: `${ask}; ${ask}` },
    { id: 'gate', title: 'Ga\u202ete', shell: 'cat a*; echo \u202eold', approval: true },
  ], files: { 'a\u202e.txt': Array(100).fill('\u202erow').join('\n') } });
  const { page, context, errors } = await visit(id);
  const raw = () => page.locator('.approvals').innerHTML();
  const asks = approval(page, '“AU+202Esk” asks');
  await asks.getByText('Keep U+202E?atad ruoy').waitFor({ timeout: 30_000 });
  const gate = approval(page, 'Approve “GaU+202Ete”');
  await gate.getByText('Not shown: aU+202E.txt').waitFor();
  assert.doesNotMatch(await raw(), TURNED);
  for (const [device, viewport] of Object.entries(DEVICES)) {
    await page.setViewportSize(viewport);
    await page.screenshot({ path: `${SHOTS}turned-${device}.png` });
  }
  await page.setViewportSize({ width: 1280, height: 800 });

  // In what was decided, and in what an edit changes.
  await asks.getByRole('button').filter({ hasText: 'yU+200Bes' }).click();
  await page.getByRole('list', { name: 'Decided approvals' }).getByText(/Keep U\+202E\?atad ruoy.*“yU\+200Bes”/).waitFor();
  assert.doesNotMatch(await raw(), TURNED);
  await gate.getByRole('button', { name: 'Edit the step…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('heading').filter({ hasText: 'Edit “GaU+202Ete”' }).waitFor();
  await dialog.getByRole('textbox', { name: 'Shell command' }).fill('echo \u202enew');
  await dialog.locator('.diff-added', { hasText: 'echo U+202Enew' }).waitFor();
  await dialog.locator('.diff-removed', { hasText: 'echo U+202Eold' }).waitFor();
  assert.doesNotMatch(await dialog.locator('.diff').innerHTML(), TURNED);

  // And in a plan that is about to be started.
  await page.goto(`${stack.url}/new`);
  await pastePlan(page, { steps: [{ id: 'a', shell: 'echo \u202ea' }] });
  await page.locator('.cm-line', { hasText: 'echo U+202Ea' }).waitFor();
  await page.getByText('Valid: 1 step').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('what a program shows is there in full, also when it is too long for the session', async () => {
  const id = await start('Shows', { steps: [{ id: 'show', title: 'Show', shell: 'holdfast ask "Is this right?" --context @rows.json' }], files: { 'rows.json': JSON.stringify(LONG) } });
  const session = () => fetch(`${stack.url}/api/sessions/${id}`).then((answer) => answer.json());
  await until('it asks', async () => (await session()).pending_approvals.length === 1);
  const [asked] = (await session()).pending_approvals;
  assert.deepEqual([asked.context, asked.context_truncated], [{}, true]);
  const { page, context, errors } = await visit(id);
  const gate = approval(page, /“Show” asks/);
  const approve = gate.getByRole('button', { name: 'Approve' });
  await gate.getByText(/Not shown: what it shows/).waitFor();
  assert.equal(await approve.isDisabled(), true);
  await gate.getByRole('button', { name: 'Show everything' }).click();
  await gate.getByText('row 2310', { exact: true }).waitFor({ state: 'attached' });
  await until('it can be approved', () => approve.isEnabled());
  await approve.click();
  await page.locator('.session-head [data-status=completed]').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('of two who decide at once, the later one is told, and keeps the words', async () => {
  const plan = { steps: [{ id: 'one', title: 'The step', shell: 'echo ran', approval: true }] };
  const id = await start('Two deciders', plan);
  const ada = await visit(id, 'ada');
  const gate = approval(ada.page, /The step/);
  await gate.getByRole('textbox', { name: 'Feedback' }).fill('go ahead, but watch the memory');
  const { approvals } = await (await fetch(`${stack.url}/api/sessions/${id}/approvals`)).json();
  // Grace's rejection arrives while Ada's approval is under way.
  await ada.page.route('**/resolve', async (route) => {
    await fetch(`${doors.grace.url}/api/approvals/${approvals[0].id}/resolve`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"resolution":"rejected"}' });
    await route.continue();
  });
  await gate.getByRole('button', { name: 'Approve' }).click();
  const note = ada.page.getByRole('alert').filter({ hasText: 'yours did not count' });
  await note.getByText(/Rejected by grace/).waitFor();
  await note.getByText('go ahead, but watch the memory').waitFor();
  await note.getByRole('button', { name: 'Copy what you typed' }).click();
  await until('the words are copied', async () => (await ada.page.evaluate(() => navigator.clipboard.readText())) === 'go ahead, but watch the memory');
  await note.getByRole('button', { name: 'Dismiss' }).click();
  await note.waitFor({ state: 'detached' });
  await ada.context.close();
});

test('words that are being typed stay when somebody else decides', async () => {
  const id = await start('Half a sentence', { steps: [{ id: 'one', title: 'The step', shell: 'echo ran', approval: true }] });
  const ada = await visit(id, 'ada');
  await approval(ada.page, /The step/).getByRole('textbox', { name: 'Feedback' }).fill('I think that');
  const { approvals } = await (await fetch(`${stack.url}/api/sessions/${id}/approvals`)).json();
  await fetch(`${doors.grace.url}/api/approvals/${approvals[0].id}/resolve`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"resolution":"approved"}' });
  const note = ada.page.getByRole('alert').filter({ hasText: 'Approved by grace' });
  await note.getByText('I think that').waitFor();
  await note.getByText('your words were not kept').waitFor();
  assert.deepEqual(ada.errors, []);
  await ada.context.close();
});

test('the editor of a step says that its environment is no place for secrets', async () => {
  const id = await start('Environment', tidy());
  for (const [device, viewport] of Object.entries(DEVICES)) {
    const { page, context } = await visit(id, undefined, { viewport });
    await approval(page, /Tidy up/).getByRole('button', { name: 'Edit the step…' }).click();
    const environment = page.getByRole('group', { name: 'Environment' });
    await environment.getByText('Values show in the log and the export. Do not put secrets here yet.').scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${SHOTS}environment-${device}.png` });
    await context.close();
  }
});

test('a list of files that is cut says so', async () => {
  const id = await start('Files', { steps: [{ id: 'make', title: 'Make', shell: 'touch a b c' }] });
  const { page, context } = await visit(id);
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await page.getByRole('tab', { name: 'Files' }).click();
  await page.getByRole('list', { name: 'Files' }).waitFor();
  assert.equal(await page.getByText('there are more').count(), 0);
  await page.route('**/files', async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), truncated: true } });
  });
  await page.goto(`${stack.url}/sessions/${id}?tab=files&file=z`);
  await page.getByText('3 files are shown; there are more.').waitFor();
  await page.getByText('z is not among the files that are shown.').waitFor();
  for (const [device, viewport] of Object.entries(DEVICES)) {
    await page.setViewportSize(viewport);
    await page.getByText('there are more').scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${SHOTS}files-cut-${device}.png` });
  }
  await context.close();
});

test('a fork says what comes along, and it does', async () => {
  const id = await start('Origin', { steps: [{ id: 'make', title: 'Make', shell: 'echo kept > result.txt' }] });
  const { page, context } = await visit(id);
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await page.getByRole('button', { name: 'More for Make' }).click();
  await page.getByRole('menuitem', { name: 'Fork from here…' }).click();
  const dialog = page.getByRole('dialog');
  assert.match(await dialog.innerText(), /the files of the workspace as they were after this step/);
  await dialog.getByRole('button', { name: 'Fork the session' }).click();
  await page.waitForURL((url) => !url.pathname.endsWith(id));
  await page.getByRole('tab', { name: 'Files' }).click();
  await page.getByRole('button', { name: /result\.txt/ }).waitFor();
  await context.close();
});
