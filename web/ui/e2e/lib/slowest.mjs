// A reporter for node:test: which tests took longest, once all have ended.
const SHOWN = 25;

export default async function* slowest(events) {
  const tests = [];
  for await (const { type, data } of events) {
    if ((type === 'test:pass' || type === 'test:fail') && data.details.type !== 'suite') {
      tests.push({ name: data.name, seconds: data.details.duration_ms / 1000 });
    }
  }
  tests.sort((a, b) => b.seconds - a.seconds);
  yield `\nthe slowest browser tests:\n`;
  for (const { name, seconds } of tests.slice(0, SHOWN)) yield `${seconds.toFixed(1).padStart(6)} s  ${name}\n`;
}
