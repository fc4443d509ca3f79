import { Button, CloseButton } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { Pieces } from '../../components/Pieces';
import { RelativeTime } from '../../components/RelativeTime';
import { closedVerb } from '../../lib/approvalWords';
import { isAsk } from '../../lib/ask';
import type { LostDecision } from '../../session/lostDecisions';

// Says that somebody else was quicker, and keeps the typed text until it is dismissed.
export function LostDecisionNote({ lost, title, onClose }: { lost: LostDecision; title: string | null; onClose: () => void }) {
  const { approval, words, tried } = lost;
  const about = isAsk(approval) ? `“${approval.description}”` : title === null ? 'the plan' : `“${title}”`;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(words);
      notifications.show({ message: 'Copied', autoClose: 2_000 });
    } catch {
      notifications.show({ color: 'red', message: 'The browser did not allow copying' });
    }
  };
  return (
    <div className="approval lost" data-tone="expired" role="alert">
      <div className="approval-head">
        <strong>
          {closedVerb(approval)}{approval.actor ? ` by ${approval.actor}` : ''} <RelativeTime iso={approval.resolved_at ?? approval.expires_at} />
          {tried === null ? (words === '' ? '' : '; your words were not kept') : '; yours did not count'}
        </strong>
        <CloseButton size="sm" aria-label="Dismiss" onClick={onClose} />
      </div>
      <p className="muted"><Pieces text={`This was about ${about}.${approval.feedback ? ` The answer came with: “${approval.feedback}”` : ''}`} /></p>
      {words !== '' && (
        <>
          <p className="lost-words" aria-label="What you typed">{words}</p>
          <Button variant="default" size="compact-xs" onClick={() => void copy()}>Copy what you typed</Button>
        </>
      )}
    </div>
  );
}
