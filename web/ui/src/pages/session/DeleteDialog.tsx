import { Button, Group, Modal } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { errorText } from '../../api/client';
import { deleteSession } from '../../api/endpoints';
import type { Session } from '../../api/types';

interface Props {
  session: Session;
  active: boolean;
  opened: boolean;
  onClose: () => void;
}

export function DeleteDialog({ session, active, opened, onClose }: Props) {
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () => deleteSession(session.id),
    onSuccess: async () => {
      onClose();
      await navigate({ to: '/' });
    },
  });
  return (
    <Modal opened={opened} onClose={onClose} title="Delete this session?">
      <p className="muted">
        The session will no longer be listed{active ? ', and its running steps will be stopped' : ''}.
      </p>
      {remove.isError && <p role="alert" className="text-bad">{errorText(remove.error)}</p>}
      <Group justify="flex-end" gap="xs" mt="md">
        <Button variant="default" onClick={onClose} data-autofocus>Keep it</Button>
        <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>Delete</Button>
      </Group>
    </Modal>
  );
}
