import { useMemo, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import type { Plan } from '../../api/types';
import { planFromSource } from '../../lib/planSource';
import { changedSections, planText } from '../../lib/planText';
import { PlanEditor } from '../create/PlanEditor';
import type { PlanEditorHandle } from '../create/PlanEditor';
import { PlanSource } from '../create/PlanSource';
import { ProblemList } from '../create/ProblemList';
import { useValidation } from '../create/useValidation';
import { EditDialog } from './EditDialog';

interface Props {
  title: string;
  head?: ReactNode;
  plan: Plan | null; // to begin with, and to compare with
  mustDiffer: boolean;
  withFeedback?: string; // the feedback to begin with; no feedback box when absent
  closed?: string | null; // why nothing more can be sent
  note: string;
  sendLabel: string;
  sending: boolean;
  error: unknown;
  onSend: (plan: Plan, feedback: string) => void;
  onClose: () => void;
}

// A plan in the editor of /new, which the server checks as it is typed.
export function PlanDialog({ plan, mustDiffer, withFeedback, closed = null, onSend, ...rest }: Props) {
  const [source, setSource] = useState(() => (plan === null ? '' : planText(plan)));
  const [feedback, setFeedback] = useState(withFeedback ?? '');
  const editor = useRef<PlanEditorHandle>(null);
  const validation = useValidation(source);
  const edited = useMemo(() => planFromSource(source), [source]);
  const valid = validation.state === 'valid';
  // Compare what the server understood; while it is checking, compare what is typed.
  const changes = useMemo(() => (plan === null || edited === null ? null : changedSections(plan, edited)), [plan, edited]);
  const same = mustDiffer && changes !== null && changes.length === 0;
  const blocked = closed ?? (valid && edited !== null ? (same ? 'Nothing has changed yet.' : null) : '');
  return (
    <EditDialog
      {...rest}
      changes={plan === null ? null : (changes ?? [])}
      blocked={blocked}
      feedback={withFeedback === undefined ? undefined : feedback}
      onFeedback={setFeedback}
      onSend={() => {
        if (edited !== null && valid) onSend(edited, feedback);
      }}
    >
      <PlanSource onLoad={setSource}>
        <PlanEditor ref={editor} source={source} problems={validation.problems} onChange={setSource} />
      </PlanSource>
      <ProblemList validation={validation} onJump={(line, column) => editor.current?.jumpTo(line, column)} />
    </EditDialog>
  );
}
