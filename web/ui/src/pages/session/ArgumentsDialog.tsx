import { Textarea } from '@mantine/core';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { prettyJSON } from '../../lib/planText';
import { EditDialog } from './EditDialog';

interface Props {
  title: string;
  head?: ReactNode;
  original: unknown; // the arguments in question
  feedback: string;
  closed: string | null;
  note: string;
  sendLabel: string;
  sending: boolean;
  error: unknown;
  onSend: (args: Record<string, unknown>, feedback: string) => void;
  onClose: () => void;
}

// A tool call's arguments, as JSON.
export function ArgumentsDialog({ original, feedback: said, closed, onSend, ...rest }: Props) {
  const [before] = useState(() => prettyJSON(original));
  const [text, setText] = useState(before);
  const [feedback, setFeedback] = useState(said);
  const args = parsed(text);
  const after = args === null ? text : prettyJSON(args);
  const blocked = closed ?? (args === null ? '' : after === before ? 'Nothing has changed yet.' : null);
  return (
    <EditDialog
      {...rest}
      changes={after === before ? [] : [{ title: 'Arguments', before, after }]}
      blocked={blocked}
      feedback={feedback}
      onFeedback={setFeedback}
      onSend={() => {
        if (args !== null) onSend(args, feedback);
      }}
    >
      <Textarea
        label="Arguments as JSON"
        classNames={{ input: 'mono' }}
        autosize
        minRows={6}
        maxRows={20}
        spellCheck={false}
        data-autofocus
        error={args === null ? 'This is not a JSON object.' : undefined}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
    </EditDialog>
  );
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
