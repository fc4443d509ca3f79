import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';

export function NotFound({ what = 'page' }: { what?: string }) {
  return (
    <div className="notice">
      <h1>No such {what}</h1>
      <p className="muted">
        {what === 'session' ? 'It may have been deleted, or the address is mistyped.' : 'Nothing lives at this address.'}
      </p>
      <Button variant="default" renderRoot={(props) => <Link to="/" {...props} />}>All sessions</Button>
    </div>
  );
}
