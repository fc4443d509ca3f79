// Follows a session with the TypeScript client until its run is over, and prints each seq.
import { HoldfastClient } from '../../../../clients/typescript/dist/index.js';

const [url, sessionId, since] = process.argv.slice(2);
const client = new HoldfastClient({ url });
client.onState(() => console.error(client.state.status));
client.subscribe(sessionId, Number(since), {
  onEvent: (event) => {
    console.log(event.seq, event.event_type);
    if (event.event_type === 'workflow_completed') client.stop();
  },
  onPresence: ({ viewers, count }) => console.error('presence', count, viewers.map((viewer) => viewer.user).join()),
  onRefused: (error) => {
    console.error('refused', error.code);
    client.stop();
  },
});
client.start();
