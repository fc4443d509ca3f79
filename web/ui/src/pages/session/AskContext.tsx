import type { Approval } from '../../api/types';
import { askContext } from '../../lib/ask';

// What a program shows with its question.
export function AskContext({ approval }: { approval: Approval }) {
  const shown = askContext(approval);
  if (shown === null) return null;
  if ('text' in shown) return <pre className="command" aria-label="What the program shows">{shown.text}</pre>;
  return (
    <dl className="facts" aria-label="What the program shows">
      {shown.facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd className="tabular">{value}</dd></div>)}
    </dl>
  );
}
