// What a person does in a long session: edits a plan under approval, extends a deadline, sends a message, forks, looks back.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { approval, copyOutput, launch, openPage, pastePlan, startSession } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

let stack;
let browser;

before(async () => {
  [stack, browser] = await Promise.all([startStack(), launch()]);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

const status = (page, name, options) => page.locator(`.session-head [data-status=${name}]`).waitFor(options);
const stepButton = (page, name) => page.getByRole('button', { name, exact: true });
const secondsLeft = async (gate) => {
  const [minutes, seconds] = (await gate.getByRole('timer').innerText()).replace(' left', '').split(':').map(Number);
  return minutes * 60 + seconds;
};

test('a plan is edited at its approval, wrong edits are told by line, and the new steps run', async () => {
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, { steps: [{ id: 'one', title: 'One', shell: 'echo the old way' }] }, { name: 'Edited plan', approvalMode: 'after_planning' });
  const gate = approval(page, 'Approve the plan');
  await gate.getByRole('button', { name: 'Edit the plan…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Edit the plan' });
  const send = dialog.getByRole('button', { name: 'Send the edit' });
  await dialog.getByText('Nothing has changed yet.').waitFor();
  assert.equal(await send.isDisabled(), true);

  await pastePlan(page, '{"steps": [\n  {"id": "one", "title": "One", "shell": "echo the new way"},\n  {"id": "two", "title": "Two", "shell": "echo and more", "needs": ["nope"]}\n]}');
  await dialog.getByRole('button', { name: /^Line 3, column \d+: .*nope/ }).waitFor();
  assert.equal(await send.isDisabled(), true);

  await pastePlan(page, { steps: [{ id: 'one', title: 'One', shell: 'echo the new way' }, { id: 'two', title: 'Two', shell: 'echo and more', needs: ['one'] }] });
  const changes = dialog.getByRole('region', { name: 'What changes' });
  await changes.locator('.diff-added', { hasText: 'the new way' }).waitFor();
  await changes.locator('.diff-removed', { hasText: 'the old way' }).waitFor();
  await dialog.getByRole('textbox', { name: 'Feedback' }).fill('two steps, please');
  await send.click();
  await dialog.waitFor({ state: 'detached' });

  await gate.getByText(/Asked again: edited by /).waitFor();
  await stepButton(page, 'Two: Pending').waitFor();
  await gate.getByText('echo and more').first().waitFor();
  await gate.getByRole('button', { name: 'Approve' }).click();
  await status(page, 'completed', { timeout: 30_000 });
  await stepButton(page, 'Two: Succeeded').waitFor();
  await until('the new steps have printed', async () => /the new way[\s\S]*and more/.test(await copyOutput(page)));
  assert.doesNotMatch(await copyOutput(page), /old way/);

  await page.getByRole('tab', { name: 'Audit' }).click();
  const trail = page.getByRole('table', { name: 'Audit trail' });
  await trail.getByText('Approved the plan').waitFor();
  assert.match(await trail.innerText(), /Edited the plan[\s\S]*two steps, please/);
  assert.deepEqual(errors, []);
  await context.close();
});

test("a step's command, environment and files are edited, and approvals waiting beside it are opened again", async () => {
  const plan = {
    steps: [
      { id: 'a', title: 'Left', shell: 'cat note.txt', approval: true },
      { id: 'b', title: 'Right', shell: 'cat note.txt', approval: true },
    ],
    files: { 'note.txt': 'draft\n' },
  };
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Edited step' });
  await approval(page, /Right/).waitFor();
  await approval(page, /Left/).getByRole('button', { name: 'Edit the step…' }).click();
  const dialog = page.getByRole('dialog', { name: /Left/ });
  await dialog.getByRole('textbox', { name: 'Shell command' }).fill('cat note.txt; echo "$WHO was here"');
  await dialog.getByRole('button', { name: 'Add a variable' }).click();
  await dialog.getByRole('textbox', { name: 'Name of the new one' }).fill('WHO');
  await dialog.getByRole('textbox', { name: 'Value of WHO' }).fill('ann');
  await dialog.locator('summary', { hasText: 'note.txt' }).click();
  await dialog.getByRole('textbox', { name: 'Text of note.txt' }).fill('final\n');
  await dialog.getByText(/Other steps that are waiting/).waitFor();
  await dialog.locator('.diff-added', { hasText: 'final' }).waitFor();
  await dialog.getByRole('button', { name: 'Send the edit' }).click();
  await dialog.waitFor({ state: 'detached' });

  await approval(page, /Left/).getByText(/Asked again: edited by/).waitFor();
  await approval(page, /Right/).getByText(/Asked again: its subject has changed/).waitFor();
  await approval(page, /Left/).getByRole('button', { name: 'Approve' }).click();
  await approval(page, /Right/).getByRole('button', { name: 'Approve' }).click();
  await status(page, 'completed', { timeout: 30_000 });
  await page.getByRole('button', { name: 'Left: Succeeded' }).click();
  await until('the edit ran', async () => (await copyOutput(page)) === 'final\nann was here\n');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a failed step is retried with an edited command', async () => {
  const { page, context, errors } = await openPage(browser);
  const plan = { steps: [{ id: 'fit', title: 'Fit', run: ['sh', '-c', 'exit 3'], on_error: 'ask' }, { id: 'next', title: 'Next', shell: 'true', needs: ['fit'] }] };
  await startSession(page, stack.url, plan, { name: 'Edited retry' });
  await approval(page, /Fit. failed/).getByRole('button', { name: 'Edit and retry…' }).click();
  const dialog = page.getByRole('dialog', { name: /Fit/ });
  await dialog.getByRole('textbox', { name: 'Argument 2' }).fill('echo "fitted: $HOLDFAST_FEEDBACK"');
  await dialog.getByRole('textbox', { name: 'Feedback' }).fill('with a prior');
  await dialog.getByRole('button', { name: 'Retry with the edit' }).click();
  await status(page, 'completed', { timeout: 30_000 });
  await until('it read the feedback', async () => (await copyOutput(page)).includes('fitted: with a prior'));
  await page.getByText('Retry with an edit chosen').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('more time moves the countdown, in every browser', async () => {
  const plan = { steps: [{ id: 'one', title: 'Slow decision', shell: 'true', approval: true }] };
  const { page, context, errors } = await openPage(browser);
  const id = await startSession(page, stack.url, plan, { name: 'More time', timeout: 60 });
  const gate = approval(page, /Slow decision/);
  await gate.waitFor();
  const other = await openPage(browser);
  await other.page.goto(`${stack.url}/sessions/${id}`);
  await approval(other.page, /Slow decision/).waitFor();
  assert.ok((await secondsLeft(gate)) <= 60);
  await gate.getByRole('button', { name: 'Give 5 more minutes' }).click();
  for (const shown of [gate, approval(other.page, /Slow decision/)]) {
    await shown.getByText('5m 00s added').waitFor();
    await until('the countdown has moved', async () => {
      const left = await secondsLeft(shown);
      return left > 300 && left <= 360;
    });
  }
  await gate.getByText(/If nobody answers: the session is suspended/).waitFor();
  await gate.getByRole('button', { name: 'Approve' }).click();
  await status(page, 'completed');
  assert.deepEqual([...errors, ...other.errors], []);
  await other.context.close();
  await context.close();
});

test('an escalated question looks urgent and says what silence does', async () => {
  const { page, context, errors } = await openPage(browser);
  await page.goto(`${stack.url}/new`);
  await pastePlan(page, { steps: [{ id: 'one', title: 'Gate', shell: 'true', approval: true }] });
  await page.getByRole('combobox', { name: 'Ask for approval of' }).selectOption('none');
  await page.getByRole('textbox', { name: 'Approval timeout, seconds' }).fill('1');
  await page.getByText('Advanced').click();
  await page.getByRole('combobox', { name: 'When nobody answers in time' }).selectOption('escalate');
  await page.getByRole('textbox', { name: 'Time after the escalation' }).fill('10 minutes');
  await page.getByText('A duration such as 90s, 30m, 2h or 3d').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Start session' }).isDisabled(), true);
  await page.getByRole('textbox', { name: 'Time after the escalation' }).fill('10m');
  await page.getByRole('button', { name: 'Start session' }).click();
  const gate = page.locator('.approval[data-tone=escalated]');
  await gate.getByText(/Urgent: nobody answered in time\. Escalated/).waitFor();
  await gate.getByText(/If still nobody answers: the session is suspended/).waitFor();
  assert.ok((await secondsLeft(gate)) > 500);
  await gate.getByRole('button', { name: 'Approve' }).click();
  await status(page, 'completed');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a message to a busy session waits and starts run 2, and run 1 can still be read', async () => {
  const plan = { steps: [{ id: 'say', title: 'Say', shell: 'echo "heard: ${HOLDFAST_MESSAGE:-nothing}"; while [ -z "$HOLDFAST_MESSAGE" ] && [ ! -e go ]; do sleep 0.1; done', approval: true }] };
  const { page, context, errors } = await openPage(browser);
  const id = await startSession(page, stack.url, plan, { name: 'Talk' });
  const gate = approval(page, /Say/);
  await gate.waitFor();
  const box = page.getByRole('textbox', { name: 'Message to the session' });
  await page.getByText('Waits for run 2: run 1 goes on first').waitFor();
  await box.fill('try the');
  await box.press('Shift+Enter');
  await box.pressSequentially('other prior');
  await box.press('Enter');
  const waiting = page.getByRole('list', { name: 'Waiting messages' });
  await waiting.getByText('waits for run 2').waitFor();
  assert.match(await waiting.innerText(), /try the\s+other prior/);
  await until('the box is free for the next message', async () => (await box.inputValue()) === ''); // its event may come before its answer
  await page.getByText(/^Waits for run 3/).waitFor();
  assert.equal(await gate.count(), 1, 'a message decides nothing');

  await gate.getByRole('button', { name: 'Approve' }).click();
  await until('run 1 speaks', async () => (await copyOutput(page)).includes('heard: nothing'));
  await page.request.post(`${stack.url}/api/sessions/${id}/suspend`);
  await status(page, 'suspended');
  await page.getByText('Waits for run 3: run 1 is suspended').waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await status(page, 'active');
  writeFileSync(join(stack.dataDir, 'workspaces', id, 'go'), ''); // what run 1 waits for

  const picker = page.getByRole('combobox', { name: 'Run' });
  await picker.waitFor({ timeout: 30_000 });
  assert.match(await picker.locator('option:checked').innerText(), /^Run 2 \(latest\) · Under way · “try the other prior”$/);
  await approval(page, /Say/).getByRole('button', { name: 'Approve' }).click();
  await status(page, 'completed', { timeout: 30_000 });
  await until('run 2 heard it', async () => (await copyOutput(page)) === 'heard: try the\nother prior\n');

  await picker.selectOption('1');
  await until("run 1's output is shown alone", async () => (await copyOutput(page)) === 'heard: nothing\n');
  assert.match(page.url(), /run=1/);
  await page.reload();
  await until('also after a reload', async () => (await copyOutput(page)) === 'heard: nothing\n');
  await page.getByRole('button', { name: 'Go to run 2' }).click();
  await until('and back', async () => (await copyOutput(page)).includes('other prior'));

  await page.getByRole('tab', { name: 'Conversation' }).click();
  const said = page.getByRole('list', { name: 'Conversation' }).getByRole('listitem');
  assert.match(await said.innerText(), /started run 2\s+try the\nother prior/);
  await page.getByText('Starts run 3').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('a refused message is kept, and a session that takes none says why', async () => {
  const { page, context } = await openPage(browser);
  const make = async (whenBusy) => {
    const answer = await page.request.post(`${stack.url}/api/sessions`, {
      data: { name: 'Busy', mode: 'runbook', plan: { steps: [{ id: 'a', title: 'Gate', shell: 'true', approval: true }] }, config: { when_busy: whenBusy } },
    });
    return (await answer.json()).id;
  };
  await page.goto(`${stack.url}/sessions/${await make('reject')}`);
  const box = page.getByRole('textbox', { name: 'Message to the session' });
  await page.getByText('Run 1 is under way, and this session takes no messages meanwhile.').waitFor();
  assert.equal(await box.isDisabled(), true);

  await page.goto(`${stack.url}/sessions/${await make('interrupt')}`);
  await page.getByText('Stops run 1 and starts run 2').waitFor();
  await page.route('**/messages', (route) => route.fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify({ status: 409, code: 'conflict', detail: 'not now' }) }));
  await box.fill('dear text');
  await box.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not now' }).waitFor();
  assert.equal(await box.inputValue(), 'dear text');
  await page.unroute('**/messages');
  await page.getByRole('button', { name: 'Send the message' }).click();
  await page.getByRole('combobox', { name: 'Run' }).waitFor({ timeout: 30_000 });
  await until('the box is free for the next message', async () => (await box.inputValue()) === '');
  await context.close();
});

test('a session is forked from a step, and both sides link each other', async () => {
  const plan = { steps: [{ id: 'make', title: 'Make', shell: 'echo made $$' }, { id: 'use', title: 'Use', shell: 'echo used', needs: ['make'] }] };
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Original' });
  await status(page, 'completed', { timeout: 30_000 });
  const source = page.url();
  await page.getByRole('button', { name: 'More for Make' }).click();
  await page.getByRole('menuitem', { name: 'Fork from here…' }).click();
  const dialog = page.getByRole('dialog', { name: /Fork from/ });
  assert.equal(await dialog.getByRole('textbox').inputValue(), 'Original (fork)');
  await dialog.getByRole('textbox').fill('Another way');
  await dialog.getByRole('button', { name: 'Fork the session' }).click();
  await page.waitForURL((url) => url.href !== source);
  await page.getByRole('heading', { name: 'Another way' }).waitFor();
  await status(page, 'completed', { timeout: 30_000 });
  const made = stepButton(page, 'Make: Succeeded');
  await made.getByText('done in “Original”').waitFor();
  await until('only the step after it ran', async () => (await copyOutput(page)).trim().endsWith('used'));
  assert.doesNotMatch(await copyOutput(page), /made/);
  await page.getByText(/forked from/).getByRole('link', { name: 'Original' }).click();
  await page.getByRole('heading', { name: 'Original' }).waitFor();
  await page.getByRole('button', { name: '1 fork' }).click();
  await page.getByRole('menuitem', { name: 'Another way' }).click();
  await page.getByRole('heading', { name: 'Another way' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('an idle session runs again, or runs another plan', async () => {
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, { steps: [{ id: 'a', title: 'Alpha', shell: 'echo first plan' }] }, { name: 'Again' });
  await status(page, 'completed', { timeout: 30_000 });
  await page.getByRole('button', { name: 'Run again' }).click();
  const picker = page.getByRole('combobox', { name: 'Run' });
  await picker.waitFor();
  await status(page, 'completed', { timeout: 30_000 });
  await page.getByRole('button', { name: 'New run…' }).click();
  const dialog = page.getByRole('dialog', { name: 'New run with a plan' });
  await pastePlan(page, { steps: [{ id: 'b', title: 'Beta', shell: 'echo second plan' }] });
  await dialog.getByRole('button', { name: 'Start run 3' }).click();
  await dialog.waitFor({ state: 'detached' });
  await stepButton(page, 'Beta: Succeeded').waitFor({ timeout: 30_000 });
  await until('it prints', async () => (await copyOutput(page)) === 'second plan\n');
  await picker.selectOption('1');
  await stepButton(page, 'Alpha: Succeeded').waitFor();
  await page.getByRole('tab', { name: 'Plan' }).click();
  await page.getByText('echo first plan').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('two people rename a session: the second is told, and not overruled unseen', async () => {
  const { page, context, errors } = await openPage(browser);
  const id = await startSession(page, stack.url, { steps: [{ id: 'a', shell: 'true' }] }, { name: 'Old name' });
  await status(page, 'completed', { timeout: 30_000 });
  await page.getByRole('button', { name: 'Rename the session' }).click();
  const box = page.getByRole('textbox', { name: 'Name of the session' });
  await box.fill('Mine');
  const { version } = await (await page.request.get(`${stack.url}/api/sessions/${id}`)).json();
  await page.request.patch(`${stack.url}/api/sessions/${id}`, { data: { name: 'Theirs', version } });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Somebody changed it meanwhile to “Theirs”').waitFor();
  assert.equal(await box.inputValue(), 'Mine');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Mine' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('a step that is tried again says when, and what depends on a failure says why it is skipped', async () => {
  const plan = { steps: [{ id: 'shaky', title: 'Shaky', shell: 'exit 1', retries: 2 }, { id: 'rest', title: 'Rest', shell: 'true', needs: ['shaky'] }] };
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, plan, { name: 'Retries' });
  await page.getByText(/next try (in \d+ s|now)/).waitFor();
  await status(page, 'failed', { timeout: 60_000 });
  await stepButton(page, 'Rest: Skipped').getByText(/shaky/).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
