import '@xterm/xterm/css/xterm.css';
import { useComputedColorScheme } from '@mantine/core';
import { IconArrowDown } from '@tabler/icons-react';
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Terminal } from '@xterm/xterm';
import { useEffect, useImperativeHandle, useMemo, useRef, useState } from 'react';
import type { Ref } from 'react';
import { ENDED } from '../../lib/statuses';
import type { StepView } from '../../session/merge';
import { inScope } from '../../session/output';
import { linesIn } from '../../session/olderOutput';
import type { OutputBuffer, Scope } from '../../session/output';
import { watchHand } from './scrollByHand';
import type { Hand } from './scrollByHand';
import { PendingChunks, slices, TerminalFeed } from './terminalFeed';
import { terminalTheme } from './terminalTheme';

export const SCROLLBACK_LINES = 50_000;
const MAX_LABEL_WIDTH = 16;

export interface TerminalHandle {
  find: (query: string, direction: 'next' | 'previous') => void;
}

interface Props {
  output: OutputBuffer;
  scope: Scope;
  single: boolean; // the scope is one step: its lines need no name before them
  steps: StepView[];
  loaded: boolean;
  follow: boolean;
  onFollow: (follow: boolean) => void;
  onPartial: (partial: boolean) => void;
  ref?: Ref<TerminalHandle>;
}

export function TerminalView({ output, scope, single, steps, loaded, follow, onFollow, onPartial, ref }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const [parts, setParts] = useState<{ terminal: Terminal; search: SearchAddon; hand: Hand } | null>(null);
  const [missed, setMissed] = useState(0); // lines that came since following stopped
  const [empty, setEmpty] = useState(true);
  const scheme = useComputedColorScheme('light');
  const over = useMemo(() => new Set(steps.filter((step) => ENDED.has(step.status)).map((step) => step.key)), [steps]);
  const latest = useRef({ follow, onFollow, onPartial, over });
  const wake = useRef<() => void>(() => undefined);
  const labelWidth = useRef(MAX_LABEL_WIDTH);
  useEffect(() => {
    latest.current = { follow, onFollow, onPartial, over };
    labelWidth.current = Math.min(MAX_LABEL_WIDTH, Math.max(4, ...steps.map((step) => step.id.length)));
  });

  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const terminal = new Terminal({
      convertEol: true,
      disableStdin: true,
      cursorStyle: 'bar',
      cursorInactiveStyle: 'none',
      cursorBlink: false,
      scrollback: SCROLLBACK_LINES,
      fontFamily: getComputedStyle(element).fontFamily,
      fontSize: 12.5,
      lineHeight: 1.25,
      minimumContrastRatio: 4.5,
      allowProposedApi: true,
    });
    const fit = new FitAddon();
    const search = new SearchAddon();
    terminal.loadAddon(fit);
    terminal.loadAddon(search);
    terminal.open(element);
    terminal.textarea?.setAttribute('aria-label', 'Output');
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientHeight > 0) fit.fit();
    });
    observer.observe(element);
    const hand = watchHand(element, terminal, {
      follow: (wish) => {
        if (wish === latest.current.follow) return;
        latest.current.follow = wish; // at once: the next output must not scroll back
        latest.current.onFollow(wish);
      },
    });
    setParts({ terminal, search, hand });
    return () => {
      hand.stop();
      observer.disconnect();
      setParts(null);
      terminal.dispose();
    };
  }, []);

  useEffect(() => {
    if (parts !== null) parts.terminal.options.theme = terminalTheme(scheme);
  }, [parts, scheme]);

  useEffect(() => {
    if (follow) setMissed(0);
    if (parts !== null && follow) parts.terminal.scrollToBottom();
  }, [parts, follow]);

  // The feed: what the store holds, then what arrives, in one write per frame,
  // and never a second write before the terminal has taken the first.
  useEffect(() => {
    if (parts === null) return;
    const { terminal, hand } = parts;
    const feed = new TerminalFeed(single, labelWidth.current, () => terminal.cols);
    const isOver = (key: string) => latest.current.over.has(key);
    const pending = new PendingChunks();
    let busy = false;
    let stopped = false;
    let frame: number | ReturnType<typeof setTimeout> | null = null;
    let nonEmpty = false;

    const flush = () => {
      frame = null;
      if (stopped || busy) return;
      const text = pending.empty ? feed.ended(isOver) : pending.take().map((chunk) => feed.render(chunk)).join('');
      if (text === '' && pending.empty) return;
      busy = true;
      for (const slice of slices(text)) terminal.write(slice);
      terminal.write('', () => {
        busy = false;
        if (stopped) return;
        if (latest.current.follow) {
          if (!hand.holds) terminal.scrollToBottom();
        } else {
          const lines = linesIn(text);
          setMissed((before) => before + lines);
        }
        if (!nonEmpty) {
          nonEmpty = true;
          setEmpty(false);
        }
        const partial = pending.skipped || output.droppedOlder(scope) || terminal.buffer.active.length >= SCROLLBACK_LINES;
        latest.current.onPartial(partial);
        schedule();
      });
    };
    const schedule = () => {
      if (frame !== null || busy) return;
      frame = document.visibilityState === 'visible' ? requestAnimationFrame(flush) : setTimeout(flush, 500);
    };

    wake.current = schedule;
    terminal.reset();
    setEmpty(true);
    setMissed(0);
    latest.current.onPartial(output.droppedOlder(scope));
    for (const chunk of output.chunks(scope)) pending.push(chunk);
    schedule();
    const stop = output.listen((chunk) => {
      if (!inScope(chunk.key, scope)) return;
      pending.push(chunk);
      schedule();
    });
    return () => {
      stopped = true;
      stop();
      if (typeof frame === 'number') cancelAnimationFrame(frame);
      if (frame !== null) clearTimeout(frame as ReturnType<typeof setTimeout>);
    };
  }, [parts, output, scope, single]);

  useEffect(() => wake.current(), [over]); // show what an ended step left unfinished

  useImperativeHandle(ref, () => ({
    find: (query, direction) => {
      if (parts === null) return;
      if (query === '') parts.search.clearDecorations();
      else if (direction === 'next') parts.search.findNext(query);
      else parts.search.findPrevious(query, { incremental: false });
    },
  }));

  // Turning the wheel over the button scrolls the text below it.
  const scrollOver = (deltaY: number) => {
    if (parts === null) return;
    parts.terminal.scrollLines(Math.trunc(deltaY / 16));
    const { viewportY, baseY } = parts.terminal.buffer.active;
    if (viewportY >= baseY) onFollow(true);
  };

  return (
    <div className="terminal-frame">
      <div ref={host} className="terminal" role="log" aria-label="Step output" />
      {!follow && !empty && (
        <button type="button" className="terminal-end" onClick={() => onFollow(true)} onWheel={(event) => scrollOver(event.deltaY)}>
          <IconArrowDown size={13} aria-hidden /> {missed === 0 ? 'To the end' : missed === 1 ? '1 new line' : `${missed.toLocaleString('en')} new lines`}
        </button>
      )}
      {empty && <p className="terminal-empty muted">{loaded ? 'No output yet.' : 'Reading the output…'}</p>}
    </div>
  );
}
