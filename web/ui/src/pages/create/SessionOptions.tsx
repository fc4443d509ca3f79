import { NativeSelect, NumberInput, TextInput } from '@mantine/core';
import type { ApprovalMode } from '../../api/types';

export interface OptionValues {
  name: string;
  approvalMode: ApprovalMode;
  timeoutSeconds: number | '';
  parallel: number | '';
}

const MODES: { value: ApprovalMode; label: string }[] = [
  { value: 'none', label: 'Only where the plan says' },
  { value: 'after_planning', label: 'The plan, before it starts' },
  { value: 'before_each_step', label: 'Each step, before it runs' },
  { value: 'on_error', label: 'When a step fails' },
  { value: 'all', label: 'The plan, each step and failures' },
];

interface Props {
  values: OptionValues;
  onChange: (values: OptionValues) => void;
}

export function SessionOptions({ values, onChange }: Props) {
  const set = <K extends keyof OptionValues>(key: K, value: OptionValues[K]) => onChange({ ...values, [key]: value });
  const number = (value: string | number): number | '' => (typeof value === 'number' ? value : '');
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
        description="After it the session is suspended; nothing is lost"
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
    </div>
  );
}
