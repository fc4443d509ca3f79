import { Button } from '@mantine/core';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { errorText } from '../../api/client';
import { listAudit } from '../../api/endpoints';
import type { AuditEntry } from '../../api/types';
import { absoluteTime } from '../../lib/format';
import { auditWords } from '../../session/audit';
import { useThrottled } from '../../session/useThrottled';

interface Props {
  sessionId: string;
  version: number; // grows when somebody may have done something
  titleOf: (stepId: string) => string | null;
}

// Who did what, when, and the outcome; the oldest first.
export function AuditTab({ sessionId, version, titleOf }: Props) {
  const client = useQueryClient();
  const queryKey = ['session', sessionId, 'audit'];
  const audit = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => listAudit(sessionId, pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor,
  });
  useThrottled(version, () => void client.invalidateQueries({ queryKey }));
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
