// The TypeScript client by itself, in Node, against the real stack.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startStack, until } from './lib/stack.mjs';

const FOLLOW = fileURLToPath(new URL('./lib/follow.mjs', import.meta.url));
const BUILT = fileURLToPath(new URL('../../../clients/typescript/dist/index.js', import.meta.url));

let stack;

before(async () => {
  assert.ok(existsSync(BUILT), `${BUILT} is missing; run npm run build in clients/typescript first`);
  stack = await startStack();
});
after(() => stack?.stop());

// A process that follows a session, and what it has said so far.
function follow(sessionId, since = 0) {
  const flags = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : []; // Node before 22
  const url = `${stack.url.replace('http', 'ws')}/ws`;
  const child = spawn(process.execPath, [...flags, FOLLOW, url, sessionId, String(since)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.on('data', (text) => (said.out += text));
  child.stderr.on('data', (text) => (said.err += text));
  return {
    said,
    lines: () => said.out.split('\n').filter(Boolean),
    async ended() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const late = setTimeout(() => child.kill('SIGKILL'), 90_000);
      const [code] = await once(child, 'close');
      clearTimeout(late);
      return code;
    },
  };
}

async function startRunbook(steps) {
  const answer = await fetch(`${stack.url}/api/sessions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'Followed', mode: 'runbook', config: { approval_mode: 'none' }, plan: { steps } }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).id;
}

test('it hands every event over once and in order, though the server is killed on the way', async () => {
  const id = await startRunbook([{ id: 'count', shell: 'for i in $(seq 1 100); do echo line $i; sleep 0.05; done' }]);
  const follower = follow(id);
  await until('the first events are there', () => follower.lines().length > 5);
  process.kill(stack.pidOf('web'), 'SIGKILL');
  assert.equal(await follower.ended(), 0, follower.said.err);
  const lines = follower.lines();
  assert.deepEqual(lines.map((line) => Number(line.split(' ')[0])), lines.map((_, i) => i + 1));
  assert.match(lines.at(-1), /workflow_completed$/);
  assert.match(follower.said.err, /live\n(.*\n)*reconnecting\n(.*\n)*live\n/);

  const rest = follow(id, lines.length - 3);
  assert.equal(await rest.ended(), 0, rest.said.err);
  assert.deepEqual(rest.lines(), lines.slice(-3));
});

test('it says when there is no such session, instead of asking for ever', async () => {
  const follower = follow('00000000-0000-4000-8000-000000000000');
  assert.equal(await follower.ended(), 0);
  assert.match(follower.said.err, /refused not_found/);
});
