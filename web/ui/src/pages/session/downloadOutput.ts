import { listEvents } from '../../api/endpoints';
import type { EventPage } from '../../api/endpoints';

// The whole output from the server's log, page by page, as a file.
export async function downloadOutput(sessionId: string, stepId: string | null): Promise<void> {
  const parts: string[] = [];
  let since: number | undefined = 0;
  while (since !== undefined) {
    const page: EventPage = await listEvents(sessionId, { since, types: ['output'] });
    for (const event of page.events) {
      const text = event.data?.['text'];
      if (typeof text === 'string' && (stepId === null || event.step_id === stepId)) parts.push(text);
    }
    since = page.next_since;
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `${sessionId.slice(0, 8)}${stepId === null ? '' : `-${stepId}`}.log`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
