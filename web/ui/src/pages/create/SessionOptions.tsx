import { NativeSelect, NumberInput, TextInput } from '@mantine/core';
import type { ApprovalMode } from '../../api/types';
import { durationProblem } from '../../lib/sessionOptions';
import type { DurationField, OptionValues } from '../../lib/sessionOptions';

const MODES: { value: ApprovalMode; label: string }[] = [
  { value: 'none', label: 'Only where the plan says (default)' },
  { value: 'after_planning', label: 'The plan, before it starts' },
  { value: 'before_each_step', label: 'Each step, before it runs' },
  { value: 'on_error', label: 'When a step fails' },
  { value: 'all', label: 'The plan, each step and failures' },
];
// The first of each list is the default, which is not sent.
const ON_TIMEOUT = [
  { value: '', label: 'Suspend the session (default)' },
  { value: 'escalate', label: 'Escalate: ask more urgently, wait longer' },
  { value: 'reject', label: 'Reject' },
  { value: 'approve', label: 'Approve' },
];
const ON_MODIFIED = [
  { value: '', label: 'Ask about the edit again (default)' },
  { value: 'approve', label: 'The edit is the approval' },
];
const WHEN_BUSY = [
  { value: '', label: 'Waits for its turn (default)' },
  { value: 'interrupt', label: 'Stops the run and starts the next' },
  { value: 'reject', label: 'Is refused' },
];
const AFTER_TIMEOUT: Record<OptionValues['onTimeout'], string> = {
  '': 'After it the session is suspended; nothing is lost',
  suspend: 'After it the session is suspended; nothing is lost',
  escalate: 'After it the question is escalated',
  reject: 'After it the answer is no',
  approve: 'After it the answer is yes',
};

interface Props {
  values: OptionValues;
  onChange: (values: OptionValues) => void;
}

export function SessionOptions({ values, onChange }: Props) {
  const set = <K extends keyof OptionValues>(key: K, value: OptionValues[K]) => onChange({ ...values, [key]: value });
  const number = (value: string | number): number | '' => (typeof value === 'number' ? value : '');
  const span = (field: DurationField, label: string, placeholder: string, description: string) => (
    <TextInput
      label={label}
      placeholder={placeholder}
      description={description}
      inputWrapperOrder={['label', 'input', 'description', 'error']}
      error={durationProblem(field, values)}
      value={values[field]}
      onChange={(e) => set(field, e.currentTarget.value)}
    />
  );
  return (
    <div className="options">
      <TextInput label="Name" placeholder="Optional" maxLength={200} value={values.name} onChange={(e) => set('name', e.currentTarget.value)} />
      <NativeSelect
        label="Ask for approval of"
        data={MODES}
        value={values.approvalMode}
        onChange={(e) => set('approvalMode', e.currentTarget.value as ApprovalMode)}
      />
      <NumberInput
        label="Approval timeout, seconds"
        placeholder="A day, unless the server is set otherwise"
        description={AFTER_TIMEOUT[values.onTimeout]}
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        min={1}
        max={2_592_000}
        allowDecimal={false}
        value={values.timeoutSeconds}
        onChange={(value) => set('timeoutSeconds', number(value))}
      />
      <NumberInput
        label="Steps at the same time"
        min={1}
        max={64}
        allowDecimal={false}
        value={values.parallel}
        onChange={(value) => set('parallel', number(value))}
      />
      <details className="advanced">
        <summary>Advanced</summary>
        <div className="options">
          <NativeSelect label="When nobody answers in time" data={ON_TIMEOUT} value={values.onTimeout} onChange={(e) => set('onTimeout', e.currentTarget.value as OptionValues['onTimeout'])} />
          {values.onTimeout === 'escalate' &&
            span('escalationTimeout', 'Time after the escalation', 'Such as 20m', 'Four times the approval timeout when empty; then the session is suspended')}
          <NativeSelect label="When somebody edits the plan or step in question" data={ON_MODIFIED} value={values.onModified} onChange={(e) => set('onModified', e.currentTarget.value as OptionValues['onModified'])} />
          <NativeSelect label="A message while a run is under way" data={WHEN_BUSY} value={values.whenBusy} onChange={(e) => set('whenBusy', e.currentTarget.value as OptionValues['whenBusy'])} />
          {span('runTimeout', 'Time for a run', 'Such as 2h', 'No limit when empty; being suspended does not count')}
          {span('sessionTTL', 'Keep an unused session open for', 'Such as 720h', 'The server’s setting when empty: usually for ever')}
        </div>
      </details>
    </div>
  );
}
