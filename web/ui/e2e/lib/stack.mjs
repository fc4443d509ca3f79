// Starts the real `holdfast up` on free ports with its own data folder, and ends it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.HOLDFAST_BIN ?? fileURLToPath(new URL('../../../../bin/holdfast', import.meta.url));
const READY_WITHIN_MS = 90_000;

export async function startStack() {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing; run make build first`);
  const dataDir = mkdtempSync(join(tmpdir(), 'holdfast-ui-'));
  // With port 0 it keeps off all usual ports, which what runs beside it would compete for.
  const child = spawn(BINARY, ['up', '--addr', '127.0.0.1:0', '--data-dir', dataDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOLDFAST_LOG_FORMAT: 'json', HOLDFAST_STEPS_ON_STOP: 'end' },
  });
  let said = '';
  const keep = (chunk) => (said = (said + chunk).slice(-200_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const stack = {
    dataDir,
    log: () => said,
    children: () => JSON.parse(readFileSync(join(dataDir, 'up.json'), 'utf8')).children,
    pidOf: (name) => stack.children().find((c) => c.name === name)?.pid,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGINT');
        const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
        await once(child, 'exit');
        clearTimeout(late);
      }
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const ready = /holdfast ready\s+web=(\S+)/.exec(said);
    if (ready) return Object.assign(stack, { url: ready[1].replace(/\/$/, '') });
    if (child.exitCode !== null || Date.now() > deadline) {
      await stack.stop();
      throw new Error(`holdfast up did not get ready:\n${said.slice(-4_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Polls until the condition returns something truthy, and returns that.
export async function until(what, condition, withinMs = 20_000) {
  const deadline = Date.now() + withinMs;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
