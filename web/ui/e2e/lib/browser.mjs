import { chromium } from 'playwright-core';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

// Holds each answer of the REST API back by up to so many milliseconds, while events come as ever. A test that takes the two for
// simultaneous fails then: SLOW_ANSWERS_MS=800 npm run e2e finds it before a busy machine does. (attack.spec.mjs fails with it
// for another reason: what answers a page of another origin is then no longer the browser's own check.)
const SLOW_ANSWERS_MS = Number(process.env.SLOW_ANSWERS_MS ?? 0);

export function launch() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

// A page that remembers what went wrong in it.
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  if (SLOW_ANSWERS_MS > 0) {
    await context.route('**/api/**', async (route) => {
      try {
        const answer = await route.fetch();
        await new Promise((resolve) => setTimeout(resolve, Math.random() * SLOW_ANSWERS_MS));
        await route.fulfill({ response: answer });
      } catch {
        await route.abort().catch(() => {}); // the server was killed, or the page closed
      }
    });
  }
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  return { page, context, errors };
}

// What a person would get with the copy button.
export async function copyOutput(page) {
  await page.evaluate(() => navigator.clipboard.writeText(''));
  await page.getByRole('button', { name: 'Copy output' }).click();
  return page.evaluate(() => navigator.clipboard.readText());
}

// The lines on the terminal's screen.
export function screenLines(page) {
  return page.locator('.xterm-rows > div').allInnerTexts();
}

export const approval = (page, name) => page.getByRole('group', { name });

// Pastes a plan into the editor of /new as a person would.
export async function pastePlan(page, plan) {
  const editor = page.getByRole('textbox', { name: 'Plan as JSON' });
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.evaluate((text) => navigator.clipboard.writeText(text), typeof plan === 'string' ? plan : JSON.stringify(plan, null, 2));
  await page.keyboard.press('ControlOrMeta+v');
}

export async function startSession(page, base, plan, { name, approvalMode = 'none', timeout } = {}) {
  await page.goto(`${base}/new`);
  await pastePlan(page, plan);
  if (name) await page.getByRole('textbox', { name: 'Name' }).fill(name);
  await page.getByRole('combobox', { name: 'Ask for approval of' }).selectOption(approvalMode);
  if (timeout) await page.getByRole('textbox', { name: 'Approval timeout, seconds' }).fill(String(timeout));
  await page.getByRole('button', { name: 'Start session' }).click();
  await page.waitForURL(/\/sessions\/[0-9a-f-]{36}/);
  return /sessions\/([0-9a-f-]{36})/.exec(page.url())[1];
}
