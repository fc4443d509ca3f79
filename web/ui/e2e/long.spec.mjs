// A session with more output than a page can hold.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { copyOutput, launch, openPage, screenLines } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

const SHOTS = fileURLToPath(new URL('./screenshots/', import.meta.url));
const LINES = 3_000_000;
const talkative = {
  steps: [
    { id: 'begin', title: 'Begin', shell: 'echo the first words' },
    { id: 'print', title: 'Print', shell: `seq 1 ${LINES}`, needs: ['begin'] },
    { id: 'after', title: 'Afterwards', shell: 'echo all done', needs: ['print'] },
  ],
};

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

const lines = async (page) => (await screenLines(page)).map((line) => line.replaceAll('\u00a0', ' ').trim()).filter(Boolean);
const number = (line) => Number(/(\d+)$/.exec(line)?.[1]);

test('millions of lines are opened with a handful of requests, and paged through', async () => {
  const made = await fetch(`${stack.url}/api/sessions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'Talkative', mode: 'runbook', config: { approval_mode: 'none' }, plan: talkative }),
  });
  assert.equal(made.status, 201);
  const { id } = await made.json();
  const session = await until('the session is over', async () => {
    const read = await (await fetch(`${stack.url}/api/sessions/${id}`)).json();
    return read.status === 'completed' && read;
  }, 180_000);

  const { page, context, errors } = await openPage(browser);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(`${stack.url}/sessions/${id}`);
  await until('the last line is on the screen', async () => (await lines(page)).at(-1)?.endsWith('all done'), 60_000);
  const opening = requests.filter((url) => url.includes('/events?'));
  assert.ok(opening.length <= 4, `${session.head_seq} events took ${opening.join(' ')}`);

  // Older parts follow each other without a gap.
  await page.getByRole('button', { name: 'Print: Succeeded' }).click();
  await until('the last number is on the screen', async () => number((await lines(page)).at(-1)) === LINES, 60_000);
  const note = page.getByRole('status').filter({ hasText: /shown/ });
  const turnTo = async (name, wanted) => {
    await note.getByRole('button', { name, exact: true }).click();
    return until(`${name} was read`, async () => {
      const text = await copyOutput(page);
      return text !== '' && wanted(text) && text;
    }, 60_000);
  };
  const older = await turnTo('Show older', (text) => !text.endsWith(`${LINES}\n`));
  await page.screenshot({ path: `${SHOTS}older-desktop-light.png` });
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route('**/events?*', async (route) => {
    await held;
    await route.continue();
  });
  await note.getByRole('button', { name: 'Older', exact: true }).click();
  await page.getByText('Reading an older part').waitFor();
  assert.equal(await copyOutput(page), older, 'the part stays until the one before it is read');
  release();
  const before = await until('the part before it was read', async () => {
    const text = await copyOutput(page);
    return text !== older && text;
  }, 60_000);
  await page.unroute('**/events?*');
  const numbers = (before + older).trimEnd().split('\n').map(Number);
  assert.ok(numbers.length > 10_000 && numbers.at(-1) < LINES, `${numbers.length} lines up to ${numbers.at(-1)}`);
  for (let i = 2; i < numbers.length; i++) assert.equal(numbers[i], numbers[i - 1] + 1); // the first may be cut
  await turnTo('Newer', (text) => text === older);
  await note.getByRole('button', { name: 'Newest' }).click();
  await until('the end is back', async () => number((await lines(page)).at(-1)) === LINES, 60_000);

  // A step's old output is read when the step is selected.
  await page.getByRole('button', { name: 'Begin: Succeeded' }).click();
  await until('the first words are on the screen', async () => (await lines(page)).includes('the first words'), 60_000);
  assert.deepEqual(errors, []);
  await context.close();
});
