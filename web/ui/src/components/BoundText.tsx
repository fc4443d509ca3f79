import { memo } from 'react';
import { beginning, linesOf, sizeOf } from '../lib/bound';
import { spelled } from '../lib/hidden';
import { Pieces } from './Pieces';

interface Props {
  label: string;
  text: string;
  numbered: boolean; // line by line, as a file
  fold?: { open: boolean; onToggle: () => void }; // for a long text
}

// A text that somebody decides about: all of it, wrapped and never cut at the side, with
// invisible characters named. A long text shows its beginning until it is opened.
export const BoundText = memo(function BoundText({ label, text, numbered, fold }: Props) {
  const folded = fold !== undefined && !fold.open;
  const lines = linesOf(folded ? beginning(text) : text);
  return (
    <div className="bound" role="group" aria-label={spelled(label)} data-folded={folded || undefined}>
      <div className={numbered ? 'bound-lines' : 'bound-lines bound-plain'}>
        {blocksOf(lines).map(({ first, block }) => (
          <div key={first} className="bound-line" data-n={first}>
            <Pieces text={block} />
          </div>
        ))}
      </div>
      {fold !== undefined && (
        <button type="button" className="bound-fold" aria-expanded={!folded} onClick={fold.onToggle}>
          {folded ? `Show all ${sizeOf(text)}` : 'Show less'}
        </button>
      )}
    </div>
  );
});

const MANY_LINES = 5_000;
const BLOCK_LINES = 100;

// Each line by itself, or a hundred lines at a time for a very long text.
function blocksOf(lines: readonly string[]): { first: number; block: string }[] {
  const size = lines.length > MANY_LINES ? BLOCK_LINES : 1;
  const blocks = [];
  for (let at = 0; at < lines.length; at += size) blocks.push({ first: at + 1, block: lines.slice(at, at + size).join('\n') });
  return blocks;
}
