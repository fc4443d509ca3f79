import { Tabs } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { useEffect, useMemo, useState } from 'react';
import { ApiError } from '../../api/client';
import { NotFound } from '../../components/NotFound';
import { PageError } from '../../components/PageError';
import { PageSkeleton } from '../../components/PageSkeleton';
import { SESSION_TABS } from '../../lib/sessionTabs';
import type { SessionSearch, SessionTab } from '../../lib/sessionTabs';
import { conversationOf } from '../../session/conversation';
import type { StepView } from '../../session/merge';
import { useConversation } from '../../session/useConversation';
import { ApprovalArea } from './ApprovalArea';
import { AuditTab } from './AuditTab';
import { Composer } from './Composer';
import { ConversationTab } from './ConversationTab';
import { FilesTab } from './FilesTab';
import { ForkDialog } from './ForkDialog';
import { OutputTab } from './OutputTab';
import { PlanTab } from './PlanTab';
import { RunActions } from './RunActions';
import { RunPicker } from './RunPicker';
import { DeletedNotice, LogNotices, StaleNotice } from './SessionNotices';
import { SessionHeader } from './SessionHeader';
import { StepList } from './StepList';
import { TimelineTab } from './TimelineTab';
import { nameOf } from './Lineage';
import { useSessionData } from './useSessionData';

const route = getRouteApi('/sessions/$id');
const LABELS: Record<SessionTab, string> = { output: 'Output', conversation: 'Conversation', files: 'Files', timeline: 'Timeline', plan: 'Plan', audit: 'Audit' };

export function SessionPage() {
  const { id } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const data = useSessionData(id, search.run ?? null);
  const { session, status, steps, runs, run, latest, snapshot } = data;
  const tab = search.tab ?? 'output';
  const talk = useConversation(id, data.store?.openedAt ?? 0, snapshot.said, tab === 'conversation' || snapshot.historyNeeded);
  const messages = useMemo(() => conversationOf(talk.messages, runs), [talk.messages, runs]);
  const origin = session?.forked_from;
  const [forking, setForking] = useState<StepView | null>(null);
  const name = session?.name;

  useEffect(() => {
    document.title = `${name || 'Session'} · Holdfast`;
  }, [name]);

  if (session === undefined || status === null) {
    if (data.error instanceof ApiError && [404, 410, 422].includes(data.error.status)) return <NotFound what="session" />;
    if (data.error) return <PageError error={data.error} onRetry={data.refetch} />;
    return <PageSkeleton />;
  }

  const missing = data.error instanceof ApiError && [404, 410].includes(data.error.status);
  if (snapshot.deleted !== null || missing) {
    return <DeletedNotice name={session.name || session.id.slice(0, 8)} deleted={snapshot.deleted ?? ''} />;
  }

  const earlier = run !== latest;
  const selected = steps.find((step) => step.id === search.step) ?? null;
  const show = (change: Partial<SessionSearch>) => void navigate({ search: (old) => ({ ...old, ...change }), replace: true });
  const select = (stepId: string | null) => show({ step: stepId ?? undefined, tab: undefined });
  const pick = (number: number | null) => show({ run: number === null || number === latest?.number ? undefined : number, step: undefined });
  const number = latest?.number ?? 0;
  const queued = Math.max(session.queued_messages, messages.filter((message) => message.status === 'queued').length);
  const latestPlan = (latest === null ? undefined : snapshot.plans.all.get(latest.id)?.plan) ?? session.plan ?? null;
  const titleOf = (stepId: string) => steps.find((step) => step.id === stepId)?.title ?? latestPlan?.steps.find((step) => step.id === stepId)?.title ?? null;

  return (
    <div className="page page-session">
      <SessionHeader
        key={id}
        session={session}
        status={status}
        run={latest}
        snapshot={snapshot}
        actions={
          status.status !== 'expired' && queued === 0 && (
            <RunActions sessionId={id} plan={data.plan} again={earlier && run !== null ? `Repeat run ${run.number}` : 'Run again'} next={number + 1} onStarted={() => pick(null)} />
          )
        }
      />
      {data.error !== null && <StaleNotice error={data.error} onRetry={data.refetch} />}
      <LogNotices snapshot={snapshot} />
      <ApprovalArea
        key={`approvals-${id}`}
        session={session}
        status={status}
        approvals={data.approvals}
        steps={steps}
        run={run}
        earlier={earlier}
        plan={latestPlan}
        extensions={snapshot.extensions}
        presence={snapshot.presence}
      />
      <div className="session-body">
        <StepList
          steps={steps}
          selected={selected?.id ?? null}
          onSelect={select}
          head={<RunPicker runs={runs} run={run} steps={steps} onPick={pick} />}
          origin={origin ? nameOf(origin, snapshot.projection?.names[origin]) : null}
          onFork={setForking}
        />
        <div className="session-main">
          <Tabs
            value={tab}
            onChange={(value) => show({ tab: value === 'output' ? undefined : (value as SessionTab) })}
            keepMounted={false}
            className="session-tabs"
          >
            <Tabs.List aria-label="Session views">
              {SESSION_TABS.map((value) => <Tabs.Tab key={value} value={value}>{LABELS[value]}</Tabs.Tab>)}
            </Tabs.List>
            <Tabs.Panel value="output">
              {data.store !== null && (
                <OutputTab sessionId={id} store={data.store} loaded={snapshot.loaded} run={run} earlier={earlier} steps={steps} selected={selected} onSelect={select} />
              )}
            </Tabs.Panel>
            <Tabs.Panel value="conversation">
              <ConversationTab
                messages={messages}
                loading={talk.loading}
                error={talk.error}
                onRun={(chosen) => show({ run: chosen === number ? undefined : chosen, step: undefined, tab: undefined })}
              />
            </Tabs.Panel>
            <Tabs.Panel value="files">
              <FilesTab key={id} sessionId={id} written={snapshot.written} seq={snapshot.seq} open={search.file ?? null} onOpen={(file) => show({ file: file ?? undefined })} />
            </Tabs.Panel>
            <Tabs.Panel value="timeline">
              {data.store !== null && <TimelineTab sessionId={id} store={data.store} version={snapshot.timelineVersion} />}
            </Tabs.Panel>
            <Tabs.Panel value="plan"><PlanTab plan={data.plan} /></Tabs.Panel>
            <Tabs.Panel value="audit"><AuditTab sessionId={id} changes={snapshot.changes} titleOf={titleOf} /></Tabs.Panel>
          </Tabs>
          <Composer key={id} session={session} status={status} runNumber={number} messages={messages} listQueue={tab !== 'conversation'} />
        </div>
      </div>
      {forking !== null && run !== null && <ForkDialog session={session} run={run} step={forking} onClose={() => setForking(null)} />}
    </div>
  );
}
