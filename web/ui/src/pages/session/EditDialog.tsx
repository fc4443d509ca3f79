import { Button, Group, Modal, Textarea } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { useCommandsBlocked } from '../../app/health';
import { errorText } from '../../api/client';
import { DiffView } from '../../components/DiffView';
import { Pieces } from '../../components/Pieces';
import type { Section } from '../../lib/planText';

interface Props {
  title: string;
  head?: ReactNode; // beside the title: the time left
  children: ReactNode; // the editor
  changes: readonly Section[] | null; // null when there is nothing to compare with
  blocked: string | null; // why it cannot be sent; "" when that is obvious
  feedback?: string; // no feedback box when absent
  onFeedback?: (text: string) => void;
  note: string; // what sending does
  sendLabel: string;
  sending: boolean;
  error: unknown;
  onSend: () => void;
  onClose: () => void;
}

// A large dialog around an editor, which shows what changes before anything is sent.
export function EditDialog(props: Props) {
  const { title, head, children, changes, blocked, feedback, onFeedback, note, sendLabel, sending, error, onSend, onClose } = props;
  const outage = useCommandsBlocked();
  const phone = useMediaQuery('(max-width: 640px)') ?? false;
  const dirty = changes === null || changes.length > 0;
  return (
    <Modal
      opened
      onClose={onClose}
      title={<Pieces text={title} />}
      size="min(920px, 100%)"
      fullScreen={phone}
      closeOnEscape={!dirty}
      closeOnClickOutside={!dirty}
      closeButtonProps={{ 'aria-label': 'Close without sending' }}
      className="edit-dialog"
    >
      {head}
      {children}
      {changes !== null && (
        <section className="changes" aria-label="What changes">
          <h3>What changes</h3>
          {changes.length === 0 ? <p className="muted">Nothing yet.</p> : <DiffView sections={changes} />}
        </section>
      )}
      {feedback !== undefined && (
        <Textarea
          label="Feedback"
          placeholder="Optional; kept with the decision"
          autosize
          minRows={1}
          maxRows={5}
          value={feedback}
          onChange={(event) => onFeedback?.(event.currentTarget.value)}
        />
      )}
      {error !== null && <p role="alert" className="text-bad edit-error">{errorText(error)}</p>}
      <div className="edit-foot">
        <p className="muted">{outage ?? (blocked === null || blocked === '' ? note : blocked)}</p>
        <Group gap="xs" wrap="nowrap">
          <Button variant="default" onClick={onClose}>Close</Button>
          <Button disabled={outage !== null || blocked !== null} loading={sending} onClick={onSend}>{sendLabel}</Button>
        </Group>
      </div>
    </Modal>
  );
}
