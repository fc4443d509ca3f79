import { Link } from '@tanstack/react-router';
import type { Session } from '../../api/types';
import { RelativeTime } from '../../components/RelativeTime';
import { StatusBadge } from '../../components/StatusBadge';

export function SessionRow({ session }: { session: Session }) {
  const pending = (session.pending_approvals ?? []).length;
  return (
    <li>
      <Link to="/sessions/$id" params={{ id: session.id }} className="row" aria-label={session.name || session.id}>
        <span className="row-name">
          <span className="ellipsis">{session.name || session.id.slice(0, 8)}</span>
          {pending > 0 && (
            <span className="badge tone-attention">{pending === 1 ? '1 approval' : `${pending} approvals`}</span>
          )}
        </span>
        <span className="row-status"><StatusBadge status={session.status} phase={session.phase} /></span>
        <span className="row-step muted ellipsis">{session.status === 'active' ? (session.current_step ?? '') : ''}</span>
        <span className="row-mode muted">{session.mode}</span>
        <span className="row-owner muted ellipsis">{session.owner}</span>
        <span className="row-time muted tabular"><RelativeTime iso={session.updated_at} /></span>
      </Link>
    </li>
  );
}
