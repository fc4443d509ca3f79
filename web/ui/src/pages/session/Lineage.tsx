import { Menu } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Projection, Session } from '../../api/types';

interface Props {
  session: Session;
  names: Projection['names'];
  forkedAt: string | null;
}

// Where a session was forked from, and what was forked from it.
export function Lineage({ session, names, forkedAt }: Props) {
  const forks = session.forks ?? [];
  return (
    <>
      {session.forked_from && <ForkedFrom id={session.forked_from} name={names[session.forked_from]} at={forkedAt} />}
      {forks.length > 0 && (
        <Menu position="bottom-start" shadow="md">
          <Menu.Target>
            <button type="button" className="textbutton">{forks.length === 1 ? '1 fork' : `${forks.length} forks`}</button>
          </Menu.Target>
          <Menu.Dropdown className="forks">
            {forks.map((id) => (
              <Menu.Item key={id} component={Link} to="/sessions/$id" params={{ id } as never}>{nameOf(id, names[id])}</Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      )}
    </>
  );
}

// A session without a name goes by the start of its id.
export const nameOf = (id: string, name: string | undefined): string => name || id.slice(0, 8);

// A deleted session has no name any more.
function ForkedFrom({ id, name, at }: { id: string; name: string | undefined; at: string | null }) {
  return (
    <span>
      forked from {name === undefined ? `${nameOf(id, name)} (deleted)` : <Link to="/sessions/$id" params={{ id }}>{nameOf(id, name)}</Link>}
      {at !== null && <> after <span className="mono">{at}</span></>}
    </span>
  );
}
