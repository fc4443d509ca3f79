import { errorText } from '../../api/client';
import { RelativeTime } from '../../components/RelativeTime';
import type { MessageView } from '../../session/conversation';

interface Props {
  messages: readonly MessageView[];
  loading: boolean;
  error: unknown;
  onRun: (number: number) => void;
}

// What was said, in order, and the run that each message started.
export function ConversationTab({ messages, loading, error, onRun }: Props) {
  if (error) return <p role="alert" className="text-bad pad">{errorText(error)}</p>;
  if (loading) return <p className="muted pad" role="status">Reading the conversation…</p>;
  if (messages.length === 0) return <p className="muted pad">Nothing has been said yet. A message starts the next run of the plan.</p>;
  return (
    <ol className="conversation" aria-label="Conversation">
      {messages.map((message) => (
        <li key={message.id} className="said" data-status={message.status ?? undefined}>
          <p className="said-head">
            {message.number !== null && <span className="muted tabular">{message.number}</span>}
            <strong>{message.who}</strong>
            <span className="muted tabular"><RelativeTime iso={message.at} /></span>
            <Became message={message} onRun={onRun} />
          </p>
          <p className="said-text">{message.content}</p>
        </li>
      ))}
    </ol>
  );
}

function Became({ message, onRun }: { message: MessageView; onRun: Props['onRun'] }) {
  const { run } = message;
  if (message.status === 'queued') return <span className="badge">waits for run {run}</span>;
  if (message.status === 'dropped') return <span className="muted">dropped: the session was cancelled before its turn</span>;
  if (run !== null) return <button type="button" className="textbutton" onClick={() => onRun(run)}>started run {run}</button>;
  return message.inherited ? <span className="muted">said before the fork</span> : null;
}
