import { ActionIcon, Button, Group, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDownload, IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconTrash } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { useCommandsBlocked } from '../../app/health';
import { errorText } from '../../api/client';
import { exportURL, resumeSession, suspendSession } from '../../api/endpoints';
import type { Run, Session } from '../../api/types';
import { RelativeTime } from '../../components/RelativeTime';
import { StatusBadge } from '../../components/StatusBadge';
import { absoluteTime, duration, timeUntil } from '../../lib/format';
import { failuresOf, isOver } from '../../lib/statuses';
import { useNow } from '../../lib/useNow';
import { between } from '../../session/merge';
import type { StatusView } from '../../session/merge';
import type { SessionSnapshot } from '../../session/store';
import { CancelDialog } from './CancelDialog';
import { DeleteDialog } from './DeleteDialog';
import { Lineage } from './Lineage';
import { ReceiptLine } from './ReceiptLine';
import { SessionName } from './SessionName';
import { Viewers } from './Viewers';

interface Props {
  session: Session;
  status: StatusView;
  run: Run | null; // the latest
  snapshot: SessionSnapshot;
  actions: ReactNode; // what an idle session can do next
}

export function SessionHeader({ session, status, run, snapshot, actions }: Props) {
  const [dialog, setDialog] = useState<'cancel' | 'delete' | null>(null);
  const suspend = useCommand('Suspend', session.id, suspendSession);
  const resume = useCommand('Resume', session.id, resumeSession);
  const blocked = useCommandsBlocked();
  const over = isOver(status.status);
  return (
    <header className="session-head">
      <div className="session-title">
        <SessionName session={session} />
        <StatusBadge status={status.status} phase={status.phase} failures={run === null ? undefined : failuresOf(run)} />
      </div>
      <Group gap={6} className="session-actions">
        <Viewers presence={snapshot.presence} />
        {status.status === 'active' && (
          <Button variant="default" leftSection={<IconPlayerPause size={14} aria-hidden />} disabled={blocked !== null} title={blocked ?? undefined} loading={suspend.isPending} onClick={() => suspend.mutate()}>
            Suspend
          </Button>
        )}
        {status.status === 'suspended' && (
          <Button leftSection={<IconPlayerPlay size={14} aria-hidden />} disabled={blocked !== null} title={blocked ?? undefined} loading={resume.isPending} onClick={() => resume.mutate()}>Resume</Button>
        )}
        {!over && (
          <Button variant="default" leftSection={<IconPlayerStop size={14} aria-hidden />} disabled={blocked !== null} title={blocked ?? undefined} onClick={() => setDialog('cancel')}>Cancel</Button>
        )}
        {over && actions}
        <Tooltip label="Export the session as a zip archive">
          <ActionIcon component="a" href={exportURL(session.id)} download aria-label="Export the session"><IconDownload size={16} stroke={1.6} aria-hidden /></ActionIcon>
        </Tooltip>
        <Tooltip label="Delete the session">
          <ActionIcon aria-label="Delete the session" onClick={() => setDialog('delete')}><IconTrash size={16} stroke={1.6} aria-hidden /></ActionIcon>
        </Tooltip>
      </Group>
      <p className="session-meta muted tabular">
        <span>{session.mode}</span>
        {run !== null && <span>run {run.number}</span>}
        {session.owner && <span>{session.owner}</span>}
        <span>started <RelativeTime iso={session.created_at} /></span>
        {run !== null && <RunClock run={run} over={over} />}
        {session.expires_at && status.status !== 'expired' && <Expiry at={session.expires_at} />}
        <Lineage session={session} names={snapshot.projection?.names ?? {}} forkedAt={snapshot.forkedAt} />
        <span className="mono" title={session.id}>{session.id.slice(0, 8)}</span>
      </p>
      {run?.error && <p className="session-error text-bad">{run.error}</p>}
      {snapshot.receipt !== null && status.status === 'cancelled' && <ReceiptLine receipt={snapshot.receipt} />}
      <CancelDialog session={session} opened={dialog === 'cancel'} onClose={() => setDialog(null)} />
      <DeleteDialog session={session} active={!over} opened={dialog === 'delete'} onClose={() => setDialog(null)} />
    </header>
  );
}

function Expiry({ at }: { at: string }) {
  const now = useNow(15_000);
  return <span title={`${absoluteTime(at)}, unless somebody uses it before`}>expires {timeUntil(at, now)} if unused</span>;
}

function RunClock({ run, over }: { run: Run; over: boolean }) {
  const now = useNow(1_000);
  if (!run.started_at) return null;
  const ms = run.finished_at ? between(run.started_at, run.finished_at) : over ? null : Math.max(0, now - Date.parse(run.started_at));
  return ms === null ? null : <span>{duration(ms)}</span>;
}

function useCommand(label: string, id: string, send: (id: string) => Promise<unknown>) {
  return useMutation({
    mutationFn: () => send(id),
    onError: (error) => notifications.show({ color: 'red', title: `${label} failed`, message: errorText(error) }),
  });
}
