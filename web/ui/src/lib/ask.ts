import type { Approval } from '../api/types';
import { boundedJSON } from './boundedJSON';

// A question that a program asks from inside a step: `holdfast ask`.

export const isAsk = (approval: Approval): boolean => approval.approval_type === 'program_ask';

// The answers to choose from; none when the program takes any.
export function askOptions(approval: Approval): string[] {
  const options = isAsk(approval) ? objectOf(approval.context)?.['options'] : undefined;
  return Array.isArray(options) ? [...new Set(options.filter((option): option is string => typeof option === 'string' && option.trim() !== ''))] : [];
}

// A program may send any JSON.
function objectOf(context: unknown): Record<string, unknown> | null {
  return typeof context === 'object' && context !== null && !Array.isArray(context) ? (context as Record<string, unknown>) : null;
}

// What is shown with a question: names with short values, or a text, which may be only a part of the whole.
export type ShownContext = { facts: [string, string][] } | { text: string; whole: boolean } | null;

const FACTS = 20;
const FACT_CHARS = 200;

export function shownContext(approval: Approval): ShownContext {
  const object = objectOf(approval.context);
  const asked = askOptions(approval).length > 0; // else they are not answers, and are shown with the rest
  const rest = object === null ? { context: approval.context } : Object.fromEntries(Object.entries(object).filter(([name]) => name !== 'options' || !asked));
  const keys = Object.keys(rest);
  const shown: unknown = keys.length === 1 && keys[0] === 'context' ? rest['context'] : rest;
  if (shown === null || shown === undefined || shown === '') return null;
  if (typeof shown !== 'object') return { text: String(shown), whole: true };
  const entries = Object.entries(shown);
  if (entries.length === 0) return null;
  const short = (value: unknown) => value === null || (typeof value !== 'object' && String(value).length <= FACT_CHARS && !String(value).includes('\n'));
  if (!Array.isArray(shown) && entries.length <= FACTS && entries.every(([, value]) => short(value))) {
    return { facts: entries.map(([name, value]) => [name, String(value)]) };
  }
  return boundedJSON(shown);
}
