import { Button } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { errorText } from '../../api/client';
import { listAudit } from '../../api/endpoints';
import type { AuditEntry } from '../../api/types';
import { absoluteTime } from '../../lib/format';
import { auditWords } from '../../session/audit';

interface Props {
  sessionId: string;
  changes: number; // grows when somebody may have done something
  titleOf: (stepId: string) => string | null;
}

// Who did what, when, and the outcome; the oldest first. It is read when the tab opens, and again on request.
export function AuditTab({ sessionId, changes, titleOf }: Props) {
  const audit = useInfiniteQuery({
    queryKey: ['session', sessionId, 'audit'],
    queryFn: async ({ pageParam, signal }) => ({ changes, ...(await listAudit(sessionId, pageParam, signal)) }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor,
    staleTime: 0,
    gcTime: 0,
  });
  const readAt = audit.data?.pages.at(-1)?.changes ?? changes;
  const entries = audit.data?.pages.flatMap((page) => page.audit) ?? [];
  if (audit.isError) return <p role="alert" className="text-bad pad">{errorText(audit.error)}</p>;
  if (audit.isPending) return <p className="muted pad" role="status">Reading the audit trail…</p>;
  if (entries.length === 0) return <p className="muted pad">Nobody has done anything yet. Decisions and commands show up here, with who made them.</p>;
  return (
    <div className="audit">
      <table aria-label="Audit trail">
        <thead><tr><th>When</th><th>Who</th><th>What</th><th>Outcome</th></tr></thead>
        <tbody>{entries.map((entry, index) => <Entry key={entry.id ?? index} entry={entry} titleOf={titleOf} />)}</tbody>
      </table>
      {!audit.hasNextPage && changes > readAt && (
        <Button variant="default" loading={audit.isFetching} onClick={() => void audit.refetch()}>Show what was done since</Button>
      )}
      {audit.hasNextPage && <Button variant="default" loading={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>Show more</Button>}
    </div>
  );
}

function Entry({ entry, titleOf }: { entry: AuditEntry; titleOf: Props['titleOf'] }) {
  const title = entry.step_id ? titleOf(entry.step_id) : null;
  return (
    <tr>
      <td className="muted tabular audit-when"><time dateTime={entry.at}>{absoluteTime(entry.at)}</time></td>
      <td className="audit-who">{entry.actor}</td>
      <td>
        {auditWords(entry, title)}
        {entry.detail && <span className="muted audit-detail">{entry.detail}</span>}
      </td>
      <td className={entry.outcome === 'ignored' ? 'text-bad' : 'muted'}>{entry.outcome === 'ignored' ? 'Refused' : 'Done'}</td>
    </tr>
  );
}
