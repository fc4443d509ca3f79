import { Button, Group, Modal, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { errorText } from '../../api/client';
import { forkSession } from '../../api/endpoints';
import type { NewFork, Run, Session } from '../../api/types';
import { Pieces } from '../../components/Pieces';
import { IdempotencyKey } from '../../lib/idempotency';
import type { StepView } from '../../session/merge';

interface Props {
  session: Session;
  run: Run;
  step: StepView;
  onClose: () => void;
}

const MAX_NAME = 200;

export function ForkDialog({ session, run, step, onClose }: Props) {
  const navigate = useNavigate();
  const suggestion = `${session.name || session.id.slice(0, 8)} (fork)`.slice(0, MAX_NAME);
  const [name, setName] = useState(suggestion);
  const [key] = useState(() => new IdempotencyKey());
  const fork = useMutation({
    mutationFn: (body: NewFork) => forkSession(session.id, body, key.for(body)),
    onSuccess: async (made) => {
      onClose();
      await navigate({ to: '/sessions/$id', params: { id: made.id } });
    },
  });
  return (
    <Modal opened onClose={onClose} title={<>Fork from “<Pieces text={step.title} />”</>}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          fork.mutate({ step_id: step.id, run_id: run.id, name: name.trim() || undefined, attended: true });
        }}
      >
        <TextInput label="Name of the new session" data-autofocus maxLength={MAX_NAME} value={name} onChange={(event) => setName(event.currentTarget.value)} />
        <p className="muted fork-words">
          A new session goes on from here, with the plan, the settings, the conversation and the files of the workspace as they were after this step. What
          had succeeded by then does not run again.
        </p>
        {fork.isError && <p role="alert" className="text-bad">{errorText(fork.error)}</p>}
        <Group justify="flex-end" gap="xs" mt="md">
          <Button variant="default" onClick={onClose}>Close</Button>
          <Button type="submit" loading={fork.isPending}>Fork the session</Button>
        </Group>
      </form>
    </Modal>
  );
}
