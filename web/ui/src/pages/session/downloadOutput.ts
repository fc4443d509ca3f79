import { listEvents } from '../../api/endpoints';

const PAGE = 1_000;

// The whole output from the server's log, page by page, as a file.
export async function downloadOutput(sessionId: string, stepId: string | null): Promise<void> {
  const parts: string[] = [];
  let since = 0;
  for (;;) {
    const events = await listEvents(sessionId, { since, types: ['output'], limit: PAGE });
    for (const event of events) {
      since = Math.max(since, event.seq);
      const text = event.data?.['text'];
      if (typeof text === 'string' && (stepId === null || event.step_id === stepId)) parts.push(text);
    }
    if (events.length === 0) break;
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `${sessionId.slice(0, 8)}${stepId === null ? '' : `-${stepId}`}.log`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
