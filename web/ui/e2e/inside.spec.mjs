// The page shows a program's progress and questions, and nothing that it tries on its viewer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { approval, copyOutput, launch, openPage, screenLines, startSession } from './lib/browser.mjs';
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

test('a bar moves as the program tells, and the figures stay when it is over', async () => {
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, {
    steps: [{
      id: 'fit', title: 'Fit', shell:
        `for i in 1 2 3 4 5; do printf '\\rstep %s of 5' $i; echo "##holdfast progress=0.$i note=\\"$i of 5\\"" >&2; sleep 1; done; echo; echo '##holdfast progress=1'; echo done; until [ -e go ]; do sleep 0.2; done` },
      { id: 'rest', title: 'Rest', shell: 'sleep 3; touch go' }],
  }, { name: 'Progress' });
  const bar = page.getByRole('progressbar', { name: 'Progress of Fit' });
  await bar.waitFor();
  const seen = new Set();
  await until('it has moved twice', async () => seen.add(await bar.getAttribute('aria-valuenow')).size > 2);
  await page.getByText(/^\d of 5$/).first().waitFor();
  await page.getByRole('progressbar', { name: 'Progress of the run' }).waitFor();
  await page.getByText(/^cpu /).first().waitFor();
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 60_000 });
  await page.getByRole('button', { name: 'Fit: Succeeded' }).click();
  const figures = page.getByLabel('Figures of attempt 1');
  await figures.getByText('peak memory').waitFor();
  assert.match(await figures.innerText(), /wall time[\s\S]*cpu/);
  assert.equal(await bar.count(), 0);
  await until('the line is there as it was written last', async () => (await copyOutput(page)) === 'step 5 of 5\ndone\n');
  await page.getByRole('tab', { name: 'Timeline' }).click();
  assert.ok((await page.getByText('step_progress').count()) <= 2, 'progress is one row for each attempt');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a program asks with options, and goes on with the one that is chosen', async () => {
  const { page, context, errors } = await openPage(browser);
  await startSession(page, stack.url, {
    steps: [{
      id: 'choose', title: 'Choose', shell:
        `grid=$(holdfast ask "How fine a grid?" --option coarse --option "very fine" --context '{"points": 101}') || exit; echo "the grid is $grid"; ` +
        'holdfast ask "Publish it?"; echo "exit code $?"; holdfast ask "And this?" --option a --option b; echo "exit code $?"' }],
  }, { name: 'Asking' });
  const grid = approval(page, '“Choose” asks');
  await grid.getByText('How fine a grid?').waitFor({ timeout: 30_000 });
  assert.match(await grid.innerText(), /points\s+101/);
  await grid.getByRole('button', { name: 'very fine' }).click();
  await until('it has the answer', async () => (await copyOutput(page)).includes('the grid is very fine\n'));

  await grid.getByText('Publish it?').waitFor();
  await grid.getByRole('textbox', { name: 'Answer in words' }).fill('not yet');
  await grid.getByRole('button', { name: 'Reject' }).click();
  await until('it has the no', async () => (await copyOutput(page)).includes('not yet\nexit code 1\n'));

  await grid.getByText('And this?').waitFor();
  assert.equal(await grid.getByRole('button', { name: 'Send own answer' }).isDisabled(), true);
  await grid.getByRole('textbox', { name: 'Answer in words' }).fill('neither, a bit of both');
  await grid.getByRole('button', { name: 'Send own answer' }).click();
  await page.locator('.session-head [data-status=completed]').waitFor();
  await until('it has the words', async () => (await copyOutput(page)).endsWith('neither, a bit of both\nexit code 0\n'));
  await page.getByText(/Answered/).first().waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('a program that attacks the terminal of its viewer gets nothing', async () => {
  const { page, context, errors } = await openPage(browser);
  const attacks = [']0;owned\\007', ']52;c;b3duZWQ=\\007', ']8;;javascript:alert(1)\\007click\\033]8;;\\007', '[2J', '[3J', 'c', '[?1049h', '[99A', '[8m'];
  await startSession(page, stack.url, {
    steps: [
      { id: 'good', title: 'Good', shell: 'echo first; echo second' },
      { id: 'evil', title: 'Evil', shell: `printf '${attacks.map((attack) => `\\033${attack}`).join('')}\\nshown\\n'`, needs: ['good'] }],
  }, { name: 'Attack' });
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 30_000 });
  await until('all of it is on the screen', async () => (await screenLines(page)).some((line) => line.includes('shown')));
  const lines = (await screenLines(page)).map((line) => line.replaceAll('\u00a0', ' ').trimEnd()).filter(Boolean);
  assert.deepEqual(lines, ['good │ first', 'good │ second', 'evil │ click', 'evil │ shown']);
  assert.match(await page.title(), /^Attack/);
  assert.equal(await page.locator('.xterm a, .xterm-underline-5').count(), 0);
  assert.equal(await copyOutput(page), 'first\nsecond\nclick\nshown\n');
  assert.deepEqual(errors, []);
  await context.close();
});
