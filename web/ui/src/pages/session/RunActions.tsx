import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconPlus, IconRepeat } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { lazy, Suspense, useRef, useState } from 'react';
import { useCommandsBlocked } from '../../app/health';
import { errorText } from '../../api/client';
import { startRun } from '../../api/endpoints';
import type { Plan } from '../../api/types';
import { IdempotencyKey } from '../../lib/idempotency';

const PlanDialog = lazy(async () => ({ default: (await import('./PlanDialog')).PlanDialog }));

interface Props {
  sessionId: string;
  plan: Plan | null; // of the selected run
  again: string; // "Run again", "Repeat run 2"
  next: number; // the run that would start
  onStarted: () => void;
}

// The next run of an idle session: the same plan, or another one.
export function RunActions({ sessionId, plan, again, next, onStarted }: Props) {
  const blocked = useCommandsBlocked();
  const [opened, setOpened] = useState(false);
  const key = useRef(new IdempotencyKey());
  const start = useMutation({
    mutationFn: (wanted: Plan) => startRun(sessionId, wanted, key.current.for(wanted)),
    onSuccess: () => {
      key.current = new IdempotencyKey(); // the same plan again is another run
      setOpened(false);
      onStarted();
    },
    onError: (error) => {
      if (!opened) notifications.show({ color: 'red', title: 'The run was not started', message: errorText(error) });
    },
  });
  return (
    <>
      <Button
        variant="default"
        leftSection={<IconRepeat size={14} aria-hidden />}
        disabled={plan === null || blocked !== null}
        title={blocked ?? undefined}
        loading={start.isPending && !opened}
        onClick={() => {
          if (plan !== null) start.mutate(plan);
        }}
      >
        {again}
      </Button>
      <Button
        variant="default"
        leftSection={<IconPlus size={14} aria-hidden />}
        disabled={blocked !== null}
        title={blocked ?? undefined}
        onClick={() => {
          start.reset();
          setOpened(true);
        }}
      >
        New run…
      </Button>
      {opened && (
        <Suspense>
          <PlanDialog
            title={`New run with a plan`}
            plan={plan}
            mustDiffer={false}
            note={`Starts run ${next} with this plan, in the same session.`}
            sendLabel={`Start run ${next}`}
            sending={start.isPending}
            error={start.error}
            onSend={(wanted) => start.mutate(wanted)}
            onClose={() => setOpened(false)}
          />
        </Suspense>
      )}
    </>
  );
}
