import { useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { getApproval, getSubject } from '../api/endpoints';
import type { Approval, Subject } from '../api/types';
import type { Fold } from '../lib/bound';

// What an approval is about, in full.

const BOUND = new Set<Approval['approval_type']>(['plan_approval', 'step_approval', 'error_recovery']);

// Whether an approval is about a plan or a step of one, which the server keeps by its digest.
export const bindsPlan = (approval: Approval): boolean => BOUND.has(approval.approval_type);

// A short subject came with the event that asked, so that no viewer reads it; else it is read.
export function useSubject(approval: Approval): { subject: Subject | null; error: unknown } {
  const read = useQuery({
    queryKey: ['approval', approval.id, 'subject', approval.digest],
    queryFn: ({ signal }) => getSubject(approval.id, signal),
    enabled: bindsPlan(approval) && approval.subject === undefined,
    staleTime: Infinity,
    gcTime: 60_000,
    structuralSharing: false,
  });
  return { subject: approval.subject ?? read.data ?? null, error: read.error };
}

// The approval with its whole context: in a list it may be left out.
export function useWhole(approval: Approval): { whole: Approval | null; error: unknown } {
  const shortened = approval.context_truncated === true && !bindsPlan(approval);
  const read = useQuery({
    queryKey: ['approval', approval.id, 'whole', approval.digest],
    queryFn: ({ signal }) => getApproval(approval.id, signal),
    enabled: shortened,
    staleTime: Infinity,
    gcTime: 60_000,
    structuralSharing: false,
  });
  return { whole: shortened ? (read.data ?? null) : approval, error: read.error };
}

// Texts that were opened in this tab: they start unfolded in a later question.
const seen = new Set<string>();
const MOST_SEEN = 500;

function markSeen(texts: readonly string[]): void {
  for (const text of texts) {
    seen.delete(text);
    seen.add(text);
  }
  for (const oldest of seen) {
    if (seen.size <= MOST_SEEN) break;
    seen.delete(oldest);
  }
}

export interface Folds {
  open: ReadonlySet<string>;
  folded: Fold[]; // the others, which are not on the page now
  toggle: (id: string) => void;
  openAll: () => void;
}

export function useFolds(folds: readonly Fold[]): Folds {
  const [chosen, setChosen] = useState<ReadonlyMap<string, boolean>>(new Map());
  const begunOpen = useMemo(() => new Set(folds.filter((fold) => seen.has(fold.text)).map((fold) => fold.id)), [folds]);
  const open = useMemo(() => new Set(folds.map((fold) => fold.id).filter((id) => chosen.get(id) ?? begunOpen.has(id))), [folds, chosen, begunOpen]);
  const toggle = useCallback(
    (id: string) => {
      if (!open.has(id)) markSeen(folds.filter((fold) => fold.id === id).map((fold) => fold.text));
      setChosen((old) => new Map(old).set(id, !open.has(id)));
    },
    [folds, open],
  );
  const openAll = useCallback(() => {
    markSeen(folds.map((fold) => fold.text));
    setChosen(new Map(folds.map((fold) => [fold.id, true])));
  }, [folds]);
  return { open, folded: folds.filter((fold) => !open.has(fold.id)), toggle, openAll };
}
