import { Tabs } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { useEffect } from 'react';
import { ApiError } from '../../api/client';
import { NotFound } from '../../components/NotFound';
import { PageError } from '../../components/PageError';
import { PageSkeleton } from '../../components/PageSkeleton';
import { SESSION_TABS } from '../../lib/sessionTabs';
import type { SessionTab } from '../../lib/sessionTabs';
import { ApprovalArea } from './ApprovalArea';
import { FilesTab } from './FilesTab';
import { OutputTab } from './OutputTab';
import { PlanTab } from './PlanTab';
import { SessionHeader } from './SessionHeader';
import { StepList } from './StepList';
import { TimelineTab } from './TimelineTab';
import { useSessionData } from './useSessionData';

const route = getRouteApi('/sessions/$id');
const LABELS: Record<SessionTab, string> = { output: 'Output', files: 'Files', timeline: 'Timeline', plan: 'Plan' };

export function SessionPage() {
  const { id } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const data = useSessionData(id);
  const { session, status, steps } = data;
  const name = session?.name;

  useEffect(() => {
    document.title = `${name || 'Session'} · Holdfast`;
  }, [name]);

  if (session === undefined || status === null) {
    if (data.error instanceof ApiError && [404, 410, 422].includes(data.error.status)) return <NotFound what="session" />;
    if (data.error) return <PageError error={data.error} onRetry={data.refetch} />;
    return <PageSkeleton />;
  }

  const tab = search.tab ?? 'output';
  const selected = steps.find((step) => step.id === search.step) ?? null;
  const select = (stepId: string | null) =>
    void navigate({ search: (old) => ({ ...old, step: stepId ?? undefined, tab: undefined }), replace: true });

  return (
    <div className="page page-session">
      <SessionHeader session={session} status={status} run={data.run} snapshot={data.snapshot} />
      <ApprovalArea session={session} status={status} approvals={data.approvals} steps={steps} />
      <div className="session-body">
        <StepList steps={steps} selected={selected?.id ?? null} onSelect={select} />
        <Tabs
          value={tab}
          onChange={(value) => void navigate({ search: (old) => ({ ...old, tab: value === 'output' ? undefined : (value as SessionTab) }), replace: true })}
          keepMounted={false}
          className="session-tabs"
        >
          <Tabs.List aria-label="Session views">
            {SESSION_TABS.map((value) => <Tabs.Tab key={value} value={value}>{LABELS[value]}</Tabs.Tab>)}
          </Tabs.List>
          <Tabs.Panel value="output">
            {data.store !== null && <OutputTab sessionId={id} store={data.store} loaded={data.snapshot.loaded} steps={steps} selected={selected} onSelect={select} />}
          </Tabs.Panel>
          <Tabs.Panel value="files">
            <FilesTab
              sessionId={id}
              version={data.snapshot.fileVersion}
              open={search.file ?? null}
              onOpen={(file) => void navigate({ search: (old) => ({ ...old, file: file ?? undefined }), replace: true })}
            />
          </Tabs.Panel>
          <Tabs.Panel value="timeline">
            {data.store !== null && <TimelineTab store={data.store} version={data.snapshot.timelineVersion} />}
          </Tabs.Panel>
          <Tabs.Panel value="plan"><PlanTab plan={session.plan ?? null} /></Tabs.Panel>
        </Tabs>
      </div>
    </div>
  );
}
