import type { Presence } from '@holdfast/client';
import { Tooltip } from '@mantine/core';
import { IconEye } from '@tabler/icons-react';
import { isSelf } from '../../app/live';
import { initials, lookersAt, namesInWords, peopleOf, toneOf } from '../../session/presence';
import type { Person } from '../../session/presence';

const SHOWN = 4;
const TONES = 6;

// Who views the session now. It shows nothing to a person who is alone.
export function Viewers({ presence }: { presence: Presence }) {
  const { people, more } = peopleOf(presence, isSelf);
  if (people.every((person) => person.self) && more === 0) return null;
  const others = people.filter((person) => !person.self);
  const shown = [...others.slice(0, people.length > others.length ? SHOWN - 1 : SHOWN), ...people.filter((person) => person.self)];
  const rest = people.filter((person) => !shown.includes(person)).map((person) => person.name);
  const hidden = rest.length + more;
  return (
    <ul className="viewers" aria-label="Viewing now">
      {shown.map((person) => (
        <li key={person.name}>
          <Tooltip label={label(person)} events={{ hover: true, focus: true, touch: true }}>
            <button type="button" className="viewer" data-tone={toneOf(person.name, TONES)} data-self={person.self || undefined} aria-label={label(person)}>
              {initials(person.name)}
            </button>
          </Tooltip>
        </li>
      ))}
      {hidden > 0 && (
        <li>
          <Tooltip multiline maw={280} label={restInWords(rest, more)} events={{ hover: true, focus: true, touch: true }}>
            <button type="button" className="viewer viewer-more tabular" aria-label={`${hidden} more: ${restInWords(rest, more)}`}>+{hidden}</button>
          </Tooltip>
        </li>
      )}
    </ul>
  );
}

function label(person: Person): string {
  const tabs = person.tabs > 1 ? `${person.tabs} tabs` : '';
  return [person.name, [person.self ? 'you' : '', tabs].filter(Boolean).join(', ')].filter(Boolean).join(' · ');
}

function restInWords(names: readonly string[], more: number): string {
  const shown = names.slice(0, 12);
  const unnamed = more + names.length - shown.length;
  return [...shown, unnamed > 0 ? (unnamed === 1 ? '1 other' : `${unnamed} others`) : ''].filter(Boolean).join(', ');
}

// Says beside a question who else is looking at it: two answers could contradict each other.
export function Lookers({ presence, approvalId }: { presence: Presence; approvalId: string }) {
  const names = lookersAt(presence, approvalId, isSelf);
  return (
    <p className="lookers muted" role="status">
      {names.length > 0 && (
        <>
          <IconEye size={14} stroke={1.7} aria-hidden />
          <span>{namesInWords(names)} {names.length === 1 ? 'is' : 'are'} looking at this</span>
        </>
      )}
    </p>
  );
}
