import type { Approval, Attention } from '../../api/types';
import { chipsOf } from '../../lib/attentionWords';
import { secondsLeft } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { useNow } from '../../lib/useNow';

const SHOWN = 24;

// What deserves a look before one says yes.
export function AttentionChips({ attention, approval, deadline }: { attention: readonly Attention[]; approval: Approval; deadline: Deadline }) {
  useNow(10_000);
  const chips = chipsOf(attention, approval, secondsLeft(deadline, performance.now()));
  if (chips.length === 0) return null;
  return (
    <ul className="chips" aria-label="Deserves a look">
      {chips.slice(0, SHOWN).map((chip) => (
        <li key={chip.key} className="chip" title={chip.detail}>
          {chip.words}
          {chip.detail !== '' && <span className="spoken">: {chip.detail}</span>}
        </li>
      ))}
      {chips.length > SHOWN && <li className="chip">and {chips.length - SHOWN} more</li>}
    </ul>
  );
}
