import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { listExamples } from '../../api/endpoints';

export function EmptyList() {
  const examples = useQuery({ queryKey: ['examples'], queryFn: ({ signal }) => listExamples(signal), staleTime: Infinity });
  return (
    <section className="empty" aria-label="No sessions yet">
      <h2>No sessions yet</h2>
      <p className="muted">
        A session runs a plan of real programs, asks you before the steps you choose, and goes on
        through restarts and crashes. Start with an example, or bring a plan of your own.
      </p>
      <div className="cards">
        {(examples.data ?? []).map((example) => (
          <Link key={example.id} to="/new" search={{ example: example.id }} className="card">
            <strong>{example.title}</strong>
            <span className="muted">{example.description}</span>
          </Link>
        ))}
      </div>
      <Button variant="default" renderRoot={(props) => <Link to="/new" {...props} />}>Bring your own plan</Button>
    </section>
  );
}
