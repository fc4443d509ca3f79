import { diffLines } from '../lib/diff';
import type { DiffLine } from '../lib/diff';
import { spelled } from '../lib/hidden';
import type { Section } from '../lib/planText';
import { Pieces } from './Pieces';

const SIGN: Record<DiffLine['kind'], string> = { same: ' ', added: '+', removed: '−', gap: '' };
const SPOKEN: Partial<Record<DiffLine['kind'], string>> = { added: 'added: ', removed: 'removed: ' };

// What changes, section by section, line by line.
export function DiffView({ sections }: { sections: readonly Section[] }) {
  return (
    <div className="diff">
      {sections.map((section) => (
        <section key={section.title} aria-label={`Changes to ${spelled(section.title)}`}>
          <h4>
            <Pieces text={section.title} />
            {section.before === '' && <span className="text-good"> added</span>}
            {section.after === '' && <span className="text-bad"> removed</span>}
          </h4>
          <div className="diff-lines">
            {diffLines(section.before, section.after).map((line, index) => (
              <div key={index} className={`diff-line diff-${line.kind}`}>
                <span className="diff-sign" aria-hidden>{SIGN[line.kind]}</span>
                <span>
                  {SPOKEN[line.kind] !== undefined && <span className="spoken">{SPOKEN[line.kind]}</span>}
                  <Pieces text={line.text} />
                </span>
              </div>
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}
