import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { errorText } from '../api/client';
import { reopenApproval, resumeSession } from '../api/endpoints';
import type { Approval } from '../api/types';
import { useCommandsBlocked } from '../app/health';
import { IdempotencyKey } from '../lib/idempotency';

// Asks a question again that nobody answered in time: its session goes on.
export function AskAgain({ approval, label }: { approval: Approval; label: string }) {
  const blocked = useCommandsBlocked();
  const [key] = useState(() => new IdempotencyKey());
  const again = useMutation({
    mutationFn: () => (approval.reopenable === true ? reopenApproval(approval.id, key.for(approval.id)) : resumeSession(approval.session_id)),
    onError: (error) => notifications.show({ color: 'red', title: 'It was not asked again', message: errorText(error) }),
  });
  return <Button size="compact-sm" disabled={blocked !== null} title={blocked ?? undefined} loading={again.isPending} onClick={() => again.mutate()} aria-label={label}>Ask again</Button>;
}
