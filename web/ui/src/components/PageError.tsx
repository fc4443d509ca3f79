import { Button, Group } from '@mantine/core';
import { ApiError, errorText } from '../api/client';

export function PageError({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const requestId = error instanceof ApiError ? error.problem.request_id : undefined;
  return (
    <div className="notice" role="alert">
      <h1>Something went wrong on this page</h1>
      <p>{errorText(error)}</p>
      {requestId && <p className="muted mono">request {requestId}</p>}
      <p className="muted">The session itself is not affected: it lives on the server.</p>
      <Group gap="xs" justify="center">
        {onRetry && <Button onClick={onRetry}>Try again</Button>}
        <Button variant="default" onClick={() => location.reload()}>Reload the page</Button>
        <Button variant="default" component="a" href="/">All sessions</Button>
      </Group>
    </div>
  );
}
