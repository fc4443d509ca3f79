import type { Presence, Viewer } from '@holdfast/client';

// A person who views a session, in any number of tabs.
export interface Person {
  name: string;
  self: boolean; // one of the tabs is this one
  tabs: number;
}

// The people viewing a session, the others first; more counts viewers that the server did not name.
export function peopleOf(presence: Presence, isSelf: (viewer: Viewer) => boolean): { people: Person[]; more: number } {
  const people = gather(presence.viewers, isSelf).sort((a, b) => Number(a.self) - Number(b.self));
  return { people, more: Math.max(0, presence.count - presence.viewers.length) };
}

// The others who are looking at an approval; a person's own second tab does not count.
export function lookersAt(presence: Presence, approvalId: string, isSelf: (viewer: Viewer) => boolean): string[] {
  const own = presence.viewers.find(isSelf)?.user;
  return gather(presence.viewers.filter((viewer) => viewer.approval_id === approvalId), isSelf)
    .filter((person) => !person.self && person.name !== own)
    .map((person) => person.name);
}

function gather(viewers: readonly Viewer[], isSelf: (viewer: Viewer) => boolean): Person[] {
  const people = new Map<string, Person>();
  for (const viewer of viewers) {
    const person = people.get(viewer.user) ?? { name: viewer.user, self: false, tabs: 0 };
    people.set(viewer.user, { ...person, self: person.self || isSelf(viewer), tabs: person.tabs + 1 });
  }
  return [...people.values()];
}

// Up to two letters for a person: from the first and last word of the name, without its domain.
export function initials(name: string): string {
  const words = (name.split('@')[0] ?? '').split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => [...(word ?? '')][0] ?? '').join('');
  return letters === '' ? '?' : letters.toUpperCase();
}

// A person's colour, the same on every page, out of tones colours.
export function toneOf(name: string, tones: number): number {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003;
  return hash % tones;
}

// "Ada", "Ada and Ben", "Ada, Ben and 3 others".
export function namesInWords(names: readonly string[]): string {
  const [first, second] = names;
  if (names.length <= 2) return names.join(' and ');
  return `${first ?? ''}, ${second ?? ''} and ${names.length === 3 ? '1 other' : `${names.length - 2} others`}`;
}
