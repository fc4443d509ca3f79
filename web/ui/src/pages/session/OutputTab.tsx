import { ActionIcon, Button, NativeSelect, Switch, TextInput, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconChevronDown, IconChevronUp, IconCopy, IconDownload, IconSearch } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { errorText } from '../../api/client';
import type { StepView } from '../../session/merge';
import { stripAnsi } from '../../lib/ansi';
import type { SessionStore } from '../../session/store';
import { downloadOutput } from './downloadOutput';
import { TerminalView } from './TerminalView';
import type { TerminalHandle } from './TerminalView';

interface Props {
  sessionId: string;
  store: SessionStore;
  loaded: boolean;
  steps: StepView[];
  selected: StepView | null;
  onSelect: (stepId: string | null) => void;
}

export function OutputTab({ sessionId, store, loaded, steps, selected, onSelect }: Props) {
  const terminal = useRef<TerminalHandle>(null);
  const [follow, setFollow] = useState(true);
  const [query, setQuery] = useState('');
  const [partial, setPartial] = useState(false);
  const [saving, setSaving] = useState(false);
  const key = selected?.key ?? null;

  const copy = async () => {
    const text = stripAnsi(store.output.chunks(key).map((chunk) => chunk.text).join(''));
    try {
      await navigator.clipboard.writeText(text);
      notifications.show({ message: partial ? 'Copied what this page holds' : 'Output copied', autoClose: 2_000 });
    } catch {
      notifications.show({ color: 'red', message: 'The browser did not allow copying' });
    }
  };
  const download = async () => {
    setSaving(true);
    try {
      await downloadOutput(sessionId, selected?.id ?? null);
    } catch (error) {
      notifications.show({ color: 'red', title: 'Download failed', message: errorText(error) });
    } finally {
      setSaving(false);
    }
  };

  return (
    <div className="output">
      <div className="output-bar">
        <NativeSelect
          aria-label="Output of"
          size="xs"
          value={selected?.id ?? ''}
          onChange={(event) => onSelect(event.currentTarget.value || null)}
          data={[{ value: '', label: 'All steps' }, ...steps.map((step) => ({ value: step.id, label: step.title }))]}
        />
        <TextInput
          aria-label="Search in output"
          placeholder="Search"
          size="xs"
          className="output-search"
          leftSection={<IconSearch size={13} aria-hidden />}
          value={query}
          onChange={(event) => {
            setQuery(event.currentTarget.value);
            if (event.currentTarget.value !== '') setFollow(false);
            terminal.current?.find(event.currentTarget.value, 'previous');
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter') terminal.current?.find(query, event.shiftKey ? 'next' : 'previous');
          }}
        />
        <ActionIcon aria-label="Previous match" disabled={query === ''} onClick={() => terminal.current?.find(query, 'previous')}><IconChevronUp size={15} aria-hidden /></ActionIcon>
        <ActionIcon aria-label="Next match" disabled={query === ''} onClick={() => terminal.current?.find(query, 'next')}><IconChevronDown size={15} aria-hidden /></ActionIcon>
        <span className="grow" />
        <Switch size="xs" label="Follow" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />
        <Tooltip label="Copy output"><ActionIcon aria-label="Copy output" onClick={() => void copy()}><IconCopy size={15} aria-hidden /></ActionIcon></Tooltip>
        <Tooltip label="Download the whole output">
          <ActionIcon aria-label="Download output" loading={saving} onClick={() => void download()}><IconDownload size={15} aria-hidden /></ActionIcon>
        </Tooltip>
      </div>
      {partial && (
        <p className="output-note muted" role="status">
          The newest part is shown. <Button variant="subtle" size="compact-xs" onClick={() => void download()}>Older output: download</Button>
        </p>
      )}
      <TerminalView ref={terminal} store={store} stepKey={key} steps={steps} loaded={loaded} follow={follow} onFollow={setFollow} onPartial={setPartial} />
    </div>
  );
}
