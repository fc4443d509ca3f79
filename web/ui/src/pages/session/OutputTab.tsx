import { ActionIcon, NativeSelect, Switch, TextInput, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconChevronDown, IconChevronUp, IconCopy, IconDownload, IconSearch } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { errorText } from '../../api/client';
import type { Run } from '../../api/types';
import { Cleaner, lastWritten } from '../../lib/clean';
import { ENDED } from '../../lib/statuses';
import { LineJoiner } from '../../lib/linePrefix';
import type { StepView } from '../../session/merge';
import { runScope } from '../../session/output';
import type { Chunk } from '../../session/output';
import { beforeShown } from '../../session/olderOutput';
import { placeOf } from '../../session/place';
import type { SessionStore } from '../../session/store';
import { useOlderOutput } from '../../session/useOlderOutput';
import { useRunOutput } from '../../session/useRunOutput';
import { downloadOutput } from './downloadOutput';
import { OutputNote } from './OutputNote';
import { SCROLLBACK_LINES, TerminalView } from './TerminalView';
import type { TerminalHandle } from './TerminalView';

interface Props {
  sessionId: string;
  store: SessionStore;
  loaded: boolean;
  run: Run | null;
  earlier: boolean; // the selected run is not the latest
  steps: StepView[];
  selected: StepView | null;
  onSelect: (stepId: string | null) => void;
}

export function OutputTab({ sessionId, store, loaded, run, earlier, steps, selected, onSelect }: Props) {
  const terminal = useRef<TerminalHandle>(null);
  const [follow, setFollow] = useState(true);
  const [query, setQuery] = useState('');
  const [partial, setPartial] = useState(false);
  const [saving, setSaving] = useState(false);
  const scope = selected?.key ?? (run === null ? null : runScope(run.id));
  const read = useRunOutput(sessionId, store, run?.id ?? null, earlier);
  const newest = read.output ?? store.output;
  const end = run === null ? null : (placeOf(store, run.id, selected?.id ?? null).until ?? store.lastSeq);
  const elsewhere = selected !== null && loaded && ENDED.has(selected.status) && newest.droppedOlder(scope) && !newest.has(scope);
  const older = useOlderOutput(sessionId, store, run?.id ?? null, selected?.id ?? null, elsewhere ? end : null);
  const output = older.output ?? newest;

  const copy = async () => {
    const text = copyable(output.chunks(scope));
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
      await downloadOutput(sessionId, run, selected?.id ?? null, run === null ? { since: 0 } : placeOfWhole(store, run, earlier));
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
      <OutputNote
        partial={partial}
        older={older}
        onOlder={() => older.open(beforeShown(newest.chunks(scope), SCROLLBACK_LINES) ?? end)}
        onDownload={() => void download()}
      />
      <TerminalView ref={terminal} output={output} scope={scope} single={selected !== null} steps={steps} loaded={loaded && !read.reading && !older.reading} follow={follow} onFollow={setFollow} onPartial={setPartial} />
    </div>
  );
}

// Text that is safe to paste anywhere: a terminal must find nothing in it to obey.
function copyable(chunks: Chunk[]): string {
  const cleaners = new Map<string, Cleaner>();
  const clean = (chunk: Chunk) => {
    const cleaner = cleaners.get(chunk.key) ?? new Cleaner('nothing');
    cleaners.set(chunk.key, cleaner);
    return cleaner.add(chunk.text);
  };
  const joiner = new LineJoiner();
  return lastWritten(chunks.map((chunk) => joiner.add(chunk.key, clean(chunk))).join('') + joiner.rest());
}

// Output that is still coming has no end yet.
function placeOfWhole(store: SessionStore, run: Run, earlier: boolean) {
  const place = placeOf(store, run.id);
  return earlier ? place : { since: place.since };
}
