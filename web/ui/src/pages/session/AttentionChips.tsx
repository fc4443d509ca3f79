import { useState } from 'react';
import type { Approval, Attention } from '../../api/types';
import { Pieces } from '../../components/Pieces';
import { chipsOf, foremost } from '../../lib/attentionWords';
import { secondsLeft } from '../../lib/countdown';
import type { Deadline } from '../../lib/countdown';
import { spelled } from '../../lib/hidden';
import { useNow } from '../../lib/useNow';

const SHOWN = 24;

// What deserves a look before saying yes.
export function AttentionChips({ attention, approval, deadline }: { attention: readonly Attention[]; approval: Approval; deadline: Deadline }) {
  const [all, setAll] = useState(false);
  useNow(10_000);
  const chips = chipsOf(attention, approval, secondsLeft(deadline, performance.now()));
  if (chips.length === 0) return null;
  const shown = all ? chips : foremost(chips, SHOWN);
  return (
    <ul className="chips" aria-label="Deserves a look">
      {shown.map((chip) => (
        <li key={chip.key} className="chip" title={spelled(chip.detail)}>
          <Pieces text={chip.words} />
          {chip.detail !== '' && <span className="spoken">: {spelled(chip.detail)}</span>}
        </li>
      ))}
      {shown.length < chips.length && (
        <li>
          <button type="button" className="chip chip-more" onClick={() => setAll(true)}>
            show all {chips.length}
          </button>
        </li>
      )}
    </ul>
  );
}
