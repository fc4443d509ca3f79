import { ActionIcon, Button, SegmentedControl, TextInput, Textarea } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import type { FormProblems, StepForm } from '../../lib/stepForm';
import { PairsField } from './PairsField';

interface Props {
  form: StepForm;
  problems: FormProblems;
  onChange: (form: StepForm) => void;
}

export function StepFields({ form, problems, onChange }: Props) {
  const set = (change: Partial<StepForm>) => onChange({ ...form, ...change });
  const toKind = (kind: StepForm['kind']) => set({ kind, words: kind === 'run' && form.words.length === 0 ? [''] : form.words });
  return (
    <div className="stepfields">
      <SegmentedControl
        aria-label="Kind of command"
        size="xs"
        data={[{ value: 'shell', label: 'Shell command' }, { value: 'run', label: 'Program and arguments' }]}
        value={form.kind}
        onChange={(kind) => toKind(kind as StepForm['kind'])}
      />
      {form.kind === 'shell' ? (
        <Textarea
          label="Shell command"
          classNames={{ input: 'mono' }}
          autosize
          minRows={2}
          maxRows={12}
          spellCheck={false}
          data-autofocus
          error={problems.command}
          value={form.shell}
          onChange={(event) => set({ shell: event.currentTarget.value })}
        />
      ) : (
        <Words words={form.words} problem={problems.command} onChange={(words) => set({ words })} />
      )}
      <TextInput
        label="Timeout"
        placeholder="None"
        description="A duration such as 90s, 30m, 2h or 3d"
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        error={problems.timeout}
        value={form.timeout}
        onChange={(event) => set({ timeout: event.currentTarget.value })}
      />
      <PairsField
        label="Environment"
        description="Values show in the log and the export. Do not put secrets here yet."
        what="variable"
        nameLabel="Name"
        valueLabel="Value of"
        long={false}
        pairs={form.env}
        problem={problems.env}
        onChange={(env) => set({ env })}
      />
      <PairsField label="Files of the plan" what="file" nameLabel="Path" valueLabel="Text of" long pairs={form.files} problem={problems.files} onChange={(files) => set({ files })} />
    </div>
  );
}

function Words({ words, problem, onChange }: { words: string[]; problem: string | undefined; onChange: (words: string[]) => void }) {
  return (
    <fieldset className="pairs">
      <legend>Program and arguments</legend>
      {words.map((word, index) => (
        <div key={index} className="pair pair-word">
          <TextInput
            aria-label={index === 0 ? 'Program' : `Argument ${index}`}
            classNames={{ input: 'mono' }}
            spellCheck={false}
            value={word}
            onChange={(event) => onChange(words.map((old, i) => (i === index ? event.currentTarget.value : old)))}
          />
          {index === 0 ? <span /> : <ActionIcon aria-label={`Remove argument ${index}`} onClick={() => onChange(words.filter((_, i) => i !== index))}><IconX size={14} aria-hidden /></ActionIcon>}
        </div>
      ))}
      {problem !== undefined && <p role="alert" className="text-bad">{problem}</p>}
      <Button variant="subtle" size="compact-xs" leftSection={<IconPlus size={13} aria-hidden />} onClick={() => onChange([...words, ''])}>Add an argument</Button>
    </fieldset>
  );
}
