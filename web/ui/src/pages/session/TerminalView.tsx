import '@xterm/xterm/css/xterm.css';
import { useComputedColorScheme } from '@mantine/core';
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Terminal } from '@xterm/xterm';
import { useEffect, useImperativeHandle, useRef, useState } from 'react';
import type { Ref } from 'react';
import type { StepView } from '../../session/merge';
import { inScope } from '../../session/output';
import type { OutputBuffer, Scope } from '../../session/output';
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
  single: boolean; // the scope is one step: its text needs no names before its lines
  steps: StepView[];
  loaded: boolean;
  follow: boolean;
  onFollow: (follow: boolean) => void;
  onPartial: (partial: boolean) => void;
  ref?: Ref<TerminalHandle>;
}

export function TerminalView({ output, scope, single, steps, loaded, follow, onFollow, onPartial, ref }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const [parts, setParts] = useState<{ terminal: Terminal; search: SearchAddon } | null>(null);
  const [empty, setEmpty] = useState(true);
  const scheme = useComputedColorScheme('light');
  const latest = useRef({ follow, onFollow, onPartial });
  const labelWidth = useRef(MAX_LABEL_WIDTH);
  useEffect(() => {
    latest.current = { follow, onFollow, onPartial };
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
    // Scrolling up by hand is a wish to read; coming back to the end is a wish to follow.
    const byHand = () => {
      requestAnimationFrame(() => {
        const { viewportY, baseY } = terminal.buffer.active;
        const atEnd = viewportY >= baseY;
        if (atEnd !== latest.current.follow) latest.current.onFollow(atEnd);
      });
    };
    element.addEventListener('wheel', byHand, { passive: true });
    element.addEventListener('touchmove', byHand, { passive: true });
    element.addEventListener('keydown', byHand);
    setParts({ terminal, search });
    return () => {
      observer.disconnect();
      setParts(null);
      terminal.dispose();
    };
  }, []);

  useEffect(() => {
    if (parts !== null) parts.terminal.options.theme = terminalTheme(scheme);
  }, [parts, scheme]);

  useEffect(() => {
    if (parts !== null && follow) parts.terminal.scrollToBottom();
  }, [parts, follow]);

  // The feed: what the store holds, then what arrives, in one write per frame
  // and never a second one before the terminal has taken the first.
  useEffect(() => {
    if (parts === null) return;
    const { terminal } = parts;
    const feed = new TerminalFeed(single, labelWidth.current);
    const pending = new PendingChunks();
    let busy = false;
    let stopped = false;
    let frame: number | ReturnType<typeof setTimeout> | null = null;
    let nonEmpty = false;

    const flush = () => {
      frame = null;
      if (stopped || busy || pending.empty) return;
      busy = true;
      const text = pending.take().map((chunk) => feed.render(chunk)).join('');
      for (const slice of slices(text)) terminal.write(slice);
      terminal.write('', () => {
        busy = false;
        if (stopped) return;
        if (latest.current.follow) terminal.scrollToBottom();
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
      if (frame !== null || busy || pending.empty) return;
      frame = document.visibilityState === 'visible' ? requestAnimationFrame(flush) : setTimeout(flush, 500);
    };

    terminal.reset();
    setEmpty(true);
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

  useImperativeHandle(ref, () => ({
    find: (query, direction) => {
      if (parts === null) return;
      if (query === '') parts.search.clearDecorations();
      else if (direction === 'next') parts.search.findNext(query);
      else parts.search.findPrevious(query, { incremental: false });
    },
  }));

  return (
    <div className="terminal-frame">
      <div ref={host} className="terminal" role="log" aria-label="Step output" />
      {empty && <p className="terminal-empty muted">{loaded ? 'No output yet.' : 'Reading the output…'}</p>}
    </div>
  );
}
