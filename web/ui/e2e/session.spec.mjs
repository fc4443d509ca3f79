// A person's way through a session, in a real browser against the real stack.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { approval, copyOutput, launch, openPage, screenLines, startSession } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

const LINES = 240;
const counting = {
  steps: [
    { id: 'count', title: 'Count', shell: `i=1; while [ $i -le ${LINES} ]; do echo "line $i"; i=$((i+1)); sleep 0.05; done` },
    { id: 'after', title: 'Afterwards', shell: 'echo all done', needs: ['count'], approval: true },
  ],
};
const expected = Array.from({ length: LINES }, (_, i) => `line ${i + 1}`);

let stack;
let browser;

before(async () => {
  [stack, browser] = await Promise.all([startStack(), launch()]);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('an example is started, approved, watched to its end, and its figure opened', async () => {
  const { page, context, errors } = await openPage(browser);
  await page.goto(stack.url);
  await page.getByRole('link', { name: /Power spectrum/ }).click();
  await page.getByText(/^Valid: 5 steps/).waitFor();
  assert.equal(await page.getByRole('combobox', { name: 'Ask for approval of' }).inputValue(), 'none', 'nothing is asked that the plan does not ask');
  await page.getByRole('combobox', { name: 'Ask for approval of' }).selectOption('after_planning');
  await page.getByRole('button', { name: 'Start session' }).click();

  const plan = approval(page, 'Approve the plan');
  await plan.waitFor();
  await plan.getByText('python3 -u simulate.py').first().waitFor();
  assert.match(await plan.getByRole('timer').innerText(), /^[\d:]+ left$/);
  const rest = plan.getByRole('button', { name: 'Show everything' });
  if (await rest.isVisible()) await rest.click();
  await plan.getByRole('textbox', { name: 'Feedback' }).fill('go ahead');
  await plan.getByRole('button', { name: 'Approve' }).click();

  const publish = approval(page, /Publish the report/);
  await publish.waitFor({ timeout: 60_000 });
  await publish.getByRole('button', { name: 'Approve' }).click(); // its files were opened with the plan
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await page.getByText(/the plan by .*go ahead/).waitFor();
  for (const title of ['Simulate a noisy signal', 'Publish the report']) {
    await page.getByRole('button', { name: `${title}: Succeeded` }).waitFor();
  }

  await page.getByRole('tab', { name: 'Files' }).click();
  await page.getByRole('button', { name: /\.svg/ }).first().click();
  const figure = page.locator('img.preview-image');
  await figure.waitFor();
  const width = await until('the figure has a natural size', () => figure.evaluate((img) => img.naturalWidth));
  assert.ok(width > 0);
  await page.getByRole('button', { name: /\.csv/ }).first().click();
  await page.getByRole('columnheader').first().waitFor();
  await page.getByRole('button', { name: /\.md/ }).first().click();
  await page.locator('.markdown h1, .markdown h2').first().waitFor();

  const [archive] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export the session' }).click()]);
  assert.match(archive.suggestedFilename(), /\.zip$/);
  const bytes = await readFile(await archive.path());
  assert.ok(bytes.includes('manifest.json') && bytes.includes('events.ndjson'), 'the archive is whole');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a reload and a killed web server in the middle lose no line and double none', async () => {
  const { page, context, errors } = await openPage(browser);
  const id = await startSession(page, stack.url, counting, { name: 'Counting' });
  await until('the first lines are on the screen', async () => (await screenLines(page)).some((line) => /line.\d/.test(line)));

  await page.reload();
  await until('the lines are back after the reload', async () => (await copyOutput(page)).startsWith('line 1\nline 2\n'));

  const pid = stack.pidOf('web');
  assert.ok(pid > 0, 'up.json names the web process');
  process.kill(pid, 'SIGKILL');
  await page.locator('.conn[data-status=reconnecting]').waitFor();
  await page.locator('.conn[data-status=live]').waitFor({ timeout: 30_000 });
  assert.notEqual(stack.pidOf('web'), pid);

  const gate = approval(page, /Afterwards/);
  await gate.waitFor({ timeout: 60_000 });
  await gate.getByText('echo all done').first().waitFor();
  assert.deepEqual((await copyOutput(page)).trimEnd().split('\n'), expected);

  await gate.getByRole('button', { name: 'Approve' }).click();
  await page.locator('.session-head [data-status=completed]').waitFor();
  await page.getByRole('button', { name: 'Afterwards: Succeeded' }).click();
  assert.match(page.url(), /step=after/);
  await until('the step has its own output', async () => (await copyOutput(page)) === 'all done\n');

  const second = await openPage(browser);
  await second.page.goto(`${stack.url}/sessions/${id}?step=count`);
  await until('a fresh page shows the same', async () => (await copyOutput(second.page)).trimEnd().split('\n').length === LINES);
  assert.deepEqual((await copyOutput(second.page)).trimEnd().split('\n'), expected);
  assert.deepEqual([...errors, ...second.errors], []);
  await second.context.close();
  await context.close();
});

test('a decision in one browser shows in another, with who made it', async () => {
  const plan = { steps: [{ id: 'one', title: 'The step', shell: 'echo ran', approval: true }] };
  const first = await openPage(browser);
  const id = await startSession(first.page, stack.url, plan, { name: 'Two viewers' });
  const second = await openPage(browser);
  await second.page.goto(`${stack.url}/sessions/${id}`);
  await approval(second.page, /The step/).waitFor();
  const gate = approval(first.page, /The step/);
  await gate.getByRole('textbox', { name: 'Feedback' }).fill('not today');
  await gate.getByRole('button', { name: 'Reject' }).click();
  await second.page.getByText(/The step by .+not today/).waitFor();
  await approval(second.page, /The step/).waitFor({ state: 'detached' });
  assert.equal((await copyOutput(second.page)).includes('ran'), false);
  assert.deepEqual([...first.errors, ...second.errors], []);
  await first.context.close();
  await second.context.close();
});

test('an expired approval suspends the session, and Resume asks again', async () => {
  const plan = { steps: [{ id: 'one', title: 'Late', shell: 'echo ran', approval: true }] };
  const { page, context } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Expiry', timeout: 10 });
  await approval(page, /Late/).waitFor();
  const expired = approval(page, 'Expired approval');
  await expired.waitFor();
  await page.locator('.session-head [data-status=suspended]').waitFor();
  await expired.getByRole('button', { name: 'Resume and ask again' }).click();
  const again = approval(page, /Approve .Late/);
  await again.getByRole('button', { name: 'Approve' }).click();
  await page.locator('.session-head [data-status=completed]').waitFor();
  await context.close();
});

test('suspend stops, resume goes on, and cancel shows its receipt', async () => {
  const plan = { steps: [{ id: 'long', title: 'Long', shell: 'i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done' }] };
  const { page, context } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'To be cancelled' });
  await until('it prints', async () => (await copyOutput(page)).includes('tick 2'));
  await page.getByRole('button', { name: 'Suspend' }).click();
  await page.locator('.session-head [data-status=suspended]').waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.locator('.session-head [data-status=active]').waitFor();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Cancel the session' }).click();
  await dialog.getByText('Survivors').waitFor();
  assert.match(await dialog.innerText(), /Survivors\s+0/);
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await page.locator('.session-head [data-status=cancelled]').waitFor();
  await context.close();
});

test('a step goes on when its worker is killed, and the page says so quietly', async () => {
  const plan = { steps: [{ id: 'slow', title: 'Slow', shell: 'echo begun; sleep 8; echo ended' }] };
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Worker lost' });
  await until('it prints', async () => (await copyOutput(page)).includes('begun'));
  process.kill(stack.pidOf('worker'), 'SIGKILL');
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 90_000 });
  assert.equal(await page.getByRole('list', { name: 'Attempts' }).count(), 0, 'there was one attempt');
  await until('no line is lost or doubled', async () => (await copyOutput(page)) === 'begun\nended\n');
  await page.getByRole('tab', { name: 'Timeline' }).click();
  await page.getByText(/came back to it; nothing was lost/).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('a failed step asks what to do, and a skip goes on', async () => {
  const plan = {
    steps: [
      { id: 'bad', title: 'Bad', shell: 'echo broken; exit 3', on_error: 'ask' },
      { id: 'next', title: 'Next', shell: 'echo went on' },
    ],
  };
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Recovery' });
  const gate = approval(page, /Bad. failed/);
  await gate.getByRole('button', { name: 'Retry', exact: true }).click();
  await page.getByText('Retry chosen').waitFor();
  await gate.getByRole('button', { name: 'Skip' }).click();
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await page.getByRole('button', { name: 'Next: Succeeded' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
