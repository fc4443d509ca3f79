import type { Message, StoredEvent } from '../api/types';

// The conversation, the oldest first: what an event makes of it.
export function foldMessages(messages: readonly Message[], event: StoredEvent): readonly Message[] {
  switch (event.event_type) {
    case 'agent_message': {
      const { number, role, agent, actor, message } = event.data;
      if (messages.some((known) => known.number !== undefined && known.number === number)) return messages;
      const said: Message = {
        id: -event.seq, session_id: event.session_id ?? '', role: role as Message['role'], content: message, created_at: event.timestamp,
        number, agent: agent || undefined, actor, status: number === undefined ? undefined : 'queued',
      };
      return [...messages, said];
    }
    case 'workflow_started':
      return put(messages, event.data.message_number, { status: 'taken', run_id: event.run_id });
    case 'message_dropped':
      return put(messages, event.data.number, { status: 'dropped' });
    default:
      return messages;
  }
}

// Whether an event says something about a message.
export function isSaid(event: StoredEvent): boolean {
  return event.event_type === 'agent_message' || event.event_type === 'message_dropped' || (event.event_type === 'workflow_started' && event.data.message_number !== undefined);
}

function put(messages: readonly Message[], number: number | undefined, change: Partial<Message>): readonly Message[] {
  return number === undefined ? messages : messages.map((known) => (known.number === number ? { ...known, ...change } : known));
}
