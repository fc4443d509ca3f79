import { ActionIcon, Button, TextInput, Textarea } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { useRef } from 'react';
import type { Pair } from '../../lib/stepForm';

interface Props {
  label: string;
  description?: string;
  what: string; // one of them: "variable", "file"
  nameLabel: string;
  valueLabel: string;
  long: boolean; // the values are texts of many lines
  pairs: Pair[];
  problem: string | undefined;
  onChange: (pairs: Pair[]) => void;
}

// Names with their values. Entries of the plan can be changed but not removed; added ones can be both.
export function PairsField({ label, description, what, nameLabel, valueLabel, long, pairs, problem, onChange }: Props) {
  const added = useRef(0);
  const set = (key: string, change: Partial<Pair>) => onChange(pairs.map((pair) => (pair.key === key ? { ...pair, ...change } : pair)));
  const add = () => {
    added.current += 1;
    onChange([...pairs, { key: `new${added.current}`, name: '', value: '', fixed: false }]);
  };
  return (
    <fieldset className="pairs">
      <legend>{label}</legend>
      {description !== undefined && <p className="muted pairs-description">{description}</p>}
      {pairs.map((pair) => (
        <PairRow key={pair.key} pair={pair} long={long} nameLabel={nameLabel} valueLabel={valueLabel} onSet={(change) => set(pair.key, change)} onRemove={() => onChange(pairs.filter((other) => other !== pair))} />
      ))}
      {problem !== undefined && <p role="alert" className="text-bad">{problem}</p>}
      <Button variant="subtle" size="compact-xs" leftSection={<IconPlus size={13} aria-hidden />} onClick={add}>Add a {what}</Button>
    </fieldset>
  );
}

interface RowProps {
  pair: Pair;
  long: boolean;
  nameLabel: string;
  valueLabel: string;
  onSet: (change: Partial<Pair>) => void;
  onRemove: () => void;
}

function PairRow({ pair, long, nameLabel, valueLabel, onSet, onRemove }: RowProps) {
  const of = pair.name === '' ? 'the new one' : pair.name;
  const text = (
    <Textarea
      aria-label={`${valueLabel} ${of}`}
      classNames={{ input: 'mono' }}
      autosize
      minRows={long ? 4 : 1}
      maxRows={long ? 16 : 4}
      spellCheck={false}
      value={pair.value}
      onChange={(event) => onSet({ value: event.currentTarget.value })}
    />
  );
  if (pair.fixed && long) {
    return (
      <details className="pair-file">
        <summary className="mono">{pair.name}</summary>
        {text}
      </details>
    );
  }
  return (
    <div className={long ? 'pair pair-long' : 'pair'}>
      <TextInput
        aria-label={pair.fixed ? `${nameLabel} ${pair.name}` : `${nameLabel} of the new one`}
        placeholder={nameLabel}
        classNames={{ input: 'mono' }}
        value={pair.name}
        readOnly={pair.fixed}
        spellCheck={false}
        onChange={(event) => onSet({ name: event.currentTarget.value })}
      />
      {text}
      {pair.fixed ? <span /> : <ActionIcon aria-label={`Remove ${of}`} onClick={onRemove}><IconX size={14} aria-hidden /></ActionIcon>}
    </div>
  );
}
