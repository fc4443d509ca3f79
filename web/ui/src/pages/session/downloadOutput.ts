import { listEvents } from '../../api/endpoints';
import type { EventPage } from '../../api/endpoints';
import type { Run } from '../../api/types';
import { LineJoiner } from '../../lib/linePrefix';

export interface OutputPlace {
  since: number;
  until?: number;
}

// The whole output of a run or of one of its steps, from the server's log, as a file.
export async function downloadOutput(sessionId: string, run: Run | null, stepId: string | null, place: OutputPlace): Promise<void> {
  const parts: Blob[] = []; // the browser may keep a long log's parts on disk
  const joiner = new LineJoiner(); // keeps lines whole when several steps print
  let since: number | undefined = place.since;
  while (since !== undefined) {
    const page: EventPage = await listEvents(sessionId, { since, until: place.until, types: ['output'] });
    const texts: string[] = [];
    for (const event of page.events) {
      if (event.event_type !== 'output' || (run !== null && event.run_id !== run.id)) continue;
      const { text } = event.data;
      if (stepId === null) texts.push(joiner.add(event.step_id ?? '', text));
      else if (event.step_id === stepId) texts.push(text);
    }
    if (texts.length > 0) parts.push(new Blob(texts));
    since = page.next_since;
  }
  parts.push(new Blob([joiner.rest()]));
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = [sessionId.slice(0, 8), run !== null && run.number > 1 ? `run${run.number}` : null, stepId].filter(Boolean).join('-') + '.log';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
