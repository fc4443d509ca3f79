import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { validatePlan } from '../../api/endpoints';
import type { PlanProblem, PlanValidation } from '../../api/types';

export interface Validation {
  state: 'empty' | 'checking' | 'valid' | 'invalid' | 'unchecked';
  problems: PlanProblem[];
  result: PlanValidation | null; // of exactly this source, or null
  error: unknown;
}

const NONE: PlanProblem[] = [];

// The server's own verdict on the text, requested when typing pauses.
export function useValidation(source: string): Validation {
  const [settled] = useDebouncedValue(source, 250);
  const blank = settled.trim() === '';
  const query = useQuery({
    queryKey: ['validate', settled],
    queryFn: ({ signal }) => validatePlan(settled, signal),
    enabled: !blank,
    staleTime: Infinity,
    gcTime: 10_000,
    placeholderData: keepPreviousData,
  });
  if (source.trim() === '') return { state: 'empty', problems: NONE, result: null, error: null };
  if (query.isError) return { state: 'unchecked', problems: NONE, result: null, error: query.error };
  const problems = query.data?.problems ?? NONE;
  if (settled !== source || query.isPlaceholderData || query.data === undefined) {
    return { state: 'checking', problems, result: null, error: null };
  }
  return { state: query.data.valid ? 'valid' : 'invalid', problems, result: query.data, error: null };
}
