import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useCommandsBlocked } from '../../app/health';
import { errorText } from '../../api/client';
import { extendApproval } from '../../api/endpoints';
import type { Approval } from '../../api/types';
import type { Deadline } from '../../lib/countdown';
import { duration } from '../../lib/format';
import { uuid } from '../../lib/uuid';
import type { Extension } from '../../session/store';
import { Countdown } from './Countdown';

const STEP_SECONDS = 300;

interface Props {
  approval: Approval;
  deadline: Deadline;
  extension: Extension | undefined;
  onOver?: () => void;
}

// The time left, how much people added, and a button to add more.
export function DeadlineLine({ approval, deadline, extension, onOver }: Props) {
  const blocked = useCommandsBlocked();
  const extend = useMutation({
    mutationFn: () => extendApproval(approval.id, STEP_SECONDS, uuid()),
  });
  return (
    <span className="deadline">
      {extend.isError && <span role="alert" className="text-bad">{errorText(extend.error)}</span>}
      {extension !== undefined && !extend.isError && (
        <span className="muted tabular" title={extension.actor ? `by ${extension.actor}` : undefined}>{duration(extension.seconds * 1000)} added</span>
      )}
      <Countdown deadline={deadline} onOver={onOver} />
      <Button variant="default" size="compact-xs" disabled={blocked !== null} loading={extend.isPending} onClick={() => extend.mutate()} aria-label="Give 5 more minutes">+5 min</Button>
    </span>
  );
}
