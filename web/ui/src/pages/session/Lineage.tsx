import { Menu } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Session } from '../../api/types';
import { useSessionName } from './useSessionName';

// Where a session was forked from, and what was forked from it.
export function Lineage({ session, forkedAt }: { session: Session; forkedAt: string | null }) {
  const forks = session.forks ?? [];
  return (
    <>
      {session.forked_from && <ForkedFrom id={session.forked_from} at={forkedAt} />}
      {forks.length > 0 && (
        <Menu position="bottom-start" shadow="md">
          <Menu.Target>
            <button type="button" className="textbutton">{forks.length === 1 ? '1 fork' : `${forks.length} forks`}</button>
          </Menu.Target>
          <Menu.Dropdown className="forks">
            {forks.map((id) => <ForkItem key={id} id={id} />)}
          </Menu.Dropdown>
        </Menu>
      )}
    </>
  );
}

function ForkedFrom({ id, at }: { id: string; at: string | null }) {
  const { name, gone } = useSessionName(id);
  return (
    <span>
      forked from {gone ? `${name} (deleted)` : <Link to="/sessions/$id" params={{ id }}>{name}</Link>}
      {at !== null && <> after <span className="mono">{at}</span></>}
    </span>
  );
}

function ForkItem({ id }: { id: string }) {
  const { name, gone } = useSessionName(id);
  if (gone) return <Menu.Item disabled>{name} (deleted)</Menu.Item>;
  return <Menu.Item component={Link} to="/sessions/$id" params={{ id } as never}>{name}</Menu.Item>;
}
