import { Link } from '@tanstack/react-router';
import type { Session } from '../../api/types';
import { AskAgain } from '../../components/AskAgain';
import { RelativeTime } from '../../components/RelativeTime';
import { StatusBadge } from '../../components/StatusBadge';
import { question } from '../../lib/approvalWords';

export function SessionRow({ session }: { session: Session }) {
  const pending = (session.pending_approvals ?? []).length;
  const [expired] = pending === 0 ? (session.expired_approvals ?? []) : [];
  return (
    <li>
      <Link to="/sessions/$id" params={{ id: session.id }} className="row" aria-label={session.name || session.id}>
        <span className="row-name">
          <span className="ellipsis">{session.name || session.id.slice(0, 8)}</span>
          {pending > 0 && (
            <span className="badge tone-attention">{pending === 1 ? '1 approval' : `${pending} approvals`}</span>
          )}
        </span>
        <span className="row-status"><StatusBadge status={session.status} phase={session.phase} failures={{ failed: session.failed_steps ?? 0, of: null }} /></span>
        <span className="row-step muted ellipsis">{session.status === 'active' ? (session.current_step ?? '') : ''}</span>
        <span className="row-mode muted">{session.mode}</span>
        <span className="row-owner muted ellipsis">{session.owner}</span>
        <span className="row-time muted tabular"><RelativeTime iso={session.updated_at} /></span>
      </Link>
      {expired !== undefined && (
        <p className="row-expired">
          <span className="text-attention">{question(expired, null)} expired without an answer <RelativeTime iso={expired.expires_at} />; resume to ask again.</span>
          <AskAgain approval={expired} label={`Ask again in ${session.name || session.id}`} />
        </p>
      )}
    </li>
  );
}
