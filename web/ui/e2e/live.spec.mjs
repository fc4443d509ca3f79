// The page says what it knows and what it does not: following output, a server that is silent, a session that is gone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { copyOutput, launch, openPage, screenLines, startSession } from './lib/browser.mjs';
import { startStack, until } from './lib/stack.mjs';

const PRINTING = { steps: [{ id: 'print', title: 'Print', shell: 'i=1; while [ $i -le 4000 ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done' }] };
const SILENCE_MS = 12_000;

let stack;
let browser;
let id;

before(async () => {
  browser = await launch();
  stack = await startStack();
  const answer = await fetch(`${stack.url}/api/sessions`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'Printing', mode: 'runbook', config: { approval_mode: 'none' }, plan: PRINTING }),
  });
  ({ id } = await answer.json());
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

const following = (page) => page.getByRole('switch', { name: 'Follow' });
const topLine = async (page) => (await screenLines(page)).map((line) => Number(/line.(\d+)/.exec(line)?.[1])).find((n) => n > 0) ?? 0;

async function watching(options) {
  const opened = await openPage(browser, options);
  await opened.page.goto(`${stack.url}/sessions/${id}`);
  await until('there is more than a screen of output', async () => (await topLine(opened.page)) > 40, 60_000);
  assert.equal(await following(opened.page).isChecked(), true);
  return opened;
}

// The reader's place stays while output comes, the button tells how much, and leads to the end.
async function staysAndComesBack(page) {
  await until('it does not follow', async () => !(await following(page).isChecked()));
  const button = page.getByRole('button', { name: /new lines?$/ });
  await button.waitFor();
  const there = await topLine(page);
  const lines = Number(/([\d,]+) new/.exec(await button.innerText())[1].replaceAll(',', ''));
  await until('more lines have come', async () => Number(/([\d,]+) new/.exec(await button.innerText())?.[1].replaceAll(',', '')) > lines + 20, 30_000);
  assert.equal(await topLine(page), there, 'the text was pulled away from its reader');
  await button.click();
  await until('it follows again', async () => (await following(page).isChecked()) && (await topLine(page)) > there + lines);
  await button.waitFor({ state: 'detached' });
}

test('a wheel turned up leaves the end, and output does not pull back', async () => {
  const { page, context, errors } = await watching();
  await page.locator('.terminal-frame > .terminal').hover();
  await page.mouse.wheel(0, -400);
  await staysAndComesBack(page);
  await page.mouse.wheel(0, -200);
  await until('it does not follow', async () => !(await following(page).isChecked()));
  await until('turned down to the end, it follows', async () => {
    await page.mouse.wheel(0, 4_000);
    return following(page).isChecked();
  });
  assert.deepEqual(errors, []);
  await context.close();
});

test('the scrollbar can be dragged up, and output does not pull back', async () => {
  const { page, context, errors } = await watching();
  const frame = await page.locator('.terminal-frame > .terminal').boundingBox();
  await page.mouse.move(frame.x + frame.width / 2, frame.y + 50); // the scrollbar shows
  const slider = page.locator('.terminal-frame .scrollbar.vertical .slider');
  const box = await slider.boundingBox();
  assert.ok(box !== null && box.height > 0, 'there is a scrollbar');
  assert.ok(box.x + box.width <= frame.x + frame.width + 1, 'it is in the frame');
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2 - 100, { steps: 5 });
  await until('it does not follow', async () => !(await following(page).isChecked()));
  const held = await topLine(page);
  await new Promise((resolve) => setTimeout(resolve, 500)); // output comes meanwhile
  assert.equal(await topLine(page), held, 'it was pulled away while it was held');
  await page.mouse.up();
  await staysAndComesBack(page);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a finger scrolls the output', async () => {
  const { page, context, errors } = await watching({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await page.locator('.terminal-frame > .terminal').scrollIntoViewIfNeeded();
  const box = await page.locator('.terminal-frame > .terminal').boundingBox();
  const client = await context.newCDPSession(page);
  const touch = (type, y) => client.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x: box.x + 100, y }] });
  const from = box.y + 60;
  const before = await topLine(page);
  await touch('touchStart', from);
  for (let step = 1; step <= 10; step++) await touch('touchMove', from + step * 18);
  await touch('touchEnd', 0);
  await until('the text has moved with it', async () => (await topLine(page)) < before + 5 && !(await following(page).isChecked()));
  await until('it has come to rest', async () => {
    const there = await topLine(page);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return (await topLine(page)) === there;
  });
  await staysAndComesBack(page);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a page says how far it is, and that the server is silent within 12 seconds', async () => {
  const { page, context } = await watching();
  assert.match(await page.locator('.conn-seen').innerText(), /#\d+/);
  const pid = stack.pidOf('web');
  process.kill(pid, 'SIGSTOP');
  try {
    const stopped = Date.now();
    await page.locator('.conn[data-status=reconnecting]').waitFor({ timeout: 30_000 });
    assert.ok(Date.now() - stopped < SILENCE_MS + 3_000, `it took ${Date.now() - stopped} ms`);
    await page.getByRole('alert').filter({ hasText: 'The server does not answer' }).waitFor();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await page.locator('.conn[data-status=live]').waitFor({ timeout: 30_000 });
  await context.close();
});

test('a network that is gone shows at once', async () => {
  const { page, context } = await watching();
  await context.setOffline(true);
  await page.locator('.conn[data-status=reconnecting]').waitFor({ timeout: 2_000 });
  await page.getByRole('alert').filter({ hasText: 'There is no network' }).waitFor({ timeout: 10_000 });
  await context.setOffline(false);
  await page.locator('.conn[data-status=live]').waitFor({ timeout: 30_000 });
  await context.close();
});

test('lines that come in pieces stay whole beside those of others', async () => {
  const pieces = (name) => `for n in 1 2 3 4 5 6; do printf '${name} begins '; sleep 0.4; echo "${name} ends"; done`;
  const { page, context } = await openPage(browser);
  await startSession(page, stack.url, { steps: [{ id: 'a', shell: pieces('a') }, { id: 'b', shell: pieces('b') }] }, { name: 'In pieces' });
  await page.locator('.session-head [data-status=completed]').waitFor({ timeout: 60_000 });
  const lines = (await copyOutput(page)).trimEnd().split('\n');
  assert.equal(lines.length, 12);
  for (const line of lines) assert.match(line, /^(a|b) begins \1 ends$/);
  const shown = (await screenLines(page)).map((line) => line.replaceAll('\u00a0', ' ').trimEnd()).filter((line) => line.includes('begins'));
  for (const line of shown) assert.match(line, /^(a|b)\s+│ \1 begins \1 ends$/);
  assert.equal(shown.length, 12);
  await context.close();
});

test('a session that is deleted while it is looked at says so', async () => {
  const { page, context, errors } = await openPage(browser);
  const gone = await startSession(page, stack.url, { steps: [{ id: 'a', shell: 'true', approval: true }] }, { name: 'To be deleted' });
  await page.getByRole('group', { name: /Approve/ }).waitFor();
  await fetch(`${stack.url}/api/sessions/${gone}`, { method: 'DELETE' });
  await page.getByRole('heading', { name: 'This session was deleted' }).waitFor();
  await page.getByRole('link', { name: 'All sessions' }).click();
  await page.getByRole('list', { name: 'Sessions' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
