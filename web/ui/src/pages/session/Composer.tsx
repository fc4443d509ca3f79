import { ActionIcon, Textarea } from '@mantine/core';
import { IconArrowUp } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import type { KeyboardEvent } from 'react';
import { useCommandsBlocked } from '../../app/health';
import { errorText } from '../../api/client';
import { sendMessage } from '../../api/endpoints';
import type { Session } from '../../api/types';
import { IdempotencyKey } from '../../lib/idempotency';
import { composerOf, messageProblem } from '../../session/conversation';
import type { MessageView } from '../../session/conversation';
import type { StatusView } from '../../session/merge';

interface Props {
  session: Session;
  status: StatusView;
  runNumber: number; // of the latest run; 0 without one
  messages: readonly MessageView[];
  listQueue: boolean; // false where the conversation itself shows the queue
}

// Where a person writes a message, with what it will do.
export function Composer({ session, status, runNumber, messages, listQueue }: Props) {
  const [text, setText] = useState('');
  const key = useRef(new IdempotencyKey());
  const box = useRef<HTMLTextAreaElement>(null);
  const queued = messages.filter((message) => message.status === 'queued');
  const view = composerOf(status, session.config, runNumber, Math.max(queued.length, session.queued_messages));
  const send = useMutation({
    mutationFn: (content: string) => sendMessage(session.id, content, key.current.for(content)),
    onSuccess: (_, content) => {
      key.current = new IdempotencyKey(); // the same words sent again are another message
      setText((now) => (now === content ? '' : now));
    },
  });
  const blocked = useCommandsBlocked();
  const problem = messageProblem(text);
  const ready = blocked === null && view.enabled && problem === null && text.trim() !== '' && !send.isPending;
  const submit = () => {
    if (ready) send.mutate(text);
    box.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <section className="composer" aria-label="Message">
      {listQueue && queued.length > 0 && (
        <ol className="queue" aria-label="Waiting messages">
          {queued.map((message) => (
            <li key={message.id}>
              <span className="muted tabular">waits for run {message.run}</span>
              <span className="ellipsis" title={message.content}>{message.content}</span>
            </li>
          ))}
        </ol>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <Textarea
          ref={box}
          aria-label="Message to the session"
          aria-describedby="composer-does"
          placeholder={view.enabled ? 'Say something; the next run’s steps read it as HOLDFAST_MESSAGE' : 'No messages now'}
          autosize
          minRows={1}
          maxRows={8}
          disabled={!view.enabled}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <ActionIcon type="submit" variant="filled" color="accent" size={34} aria-label="Send the message" disabled={!ready} loading={send.isPending}>
          <IconArrowUp size={18} aria-hidden />
        </ActionIcon>
      </form>
      <p id="composer-does" className={`composer-does ${view.urgent ? 'text-bad' : 'muted'}`}>{blocked ?? view.does}</p>
      {(problem !== null || send.isError) && <p role="alert" className="text-bad">{problem ?? errorText(send.error)}</p>}
    </section>
  );
}
