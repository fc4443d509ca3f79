import { Button, Group, Modal } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { errorText } from '../../api/client';
import { cancelSession } from '../../api/endpoints';
import type { Session } from '../../api/types';
import { ReceiptLine } from './ReceiptLine';

interface Props {
  session: Session;
  opened: boolean;
  onClose: () => void;
}

export function CancelDialog({ session, opened, onClose }: Props) {
  const cancel = useMutation({
    mutationFn: () => cancelSession(session.id),
  });
  const close = () => {
    onClose();
    cancel.reset();
  };
  return (
    <Modal opened={opened} onClose={close} title={cancel.isSuccess ? 'Session cancelled' : 'Cancel this session?'}>
      {cancel.isSuccess ? (
        cancel.data === null ? <p className="muted">Nothing was running.</p> : <ReceiptLine receipt={cancel.data} />
      ) : (
        <p className="muted">Everything it runs is stopped now and does not start again. Files that were made are kept.</p>
      )}
      {cancel.isError && <p role="alert" className="text-bad">{errorText(cancel.error)}</p>}
      <Group justify="flex-end" gap="xs" mt="md">
        <Button variant="default" onClick={close} data-autofocus>{cancel.isSuccess ? 'Close' : 'Keep it running'}</Button>
        {!cancel.isSuccess && <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>Cancel the session</Button>}
      </Group>
    </Modal>
  );
}
