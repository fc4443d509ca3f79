import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, setDiagnostics } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useImperativeHandle, useRef } from 'react';
import type { Ref } from 'react';
import type { PlanProblem } from '../../api/types';
import { hiddenCharacters, spelled } from '../../lib/hidden';
import { offsetOf, rangeOf } from '../../lib/planSource';

export interface PlanEditorHandle {
  jumpTo: (line: number, column: number) => void;
}

interface Props {
  source: string;
  problems: PlanProblem[];
  onChange: (source: string) => void;
  ref?: Ref<PlanEditorHandle>;
}

const highlight = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--code-key)' },
  { tag: tags.string, color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-literal)' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

function named(code: number): HTMLElement {
  return Object.assign(document.createElement('span'), { className: 'hidden-char', title: 'An invisible character', textContent: spelled(String.fromCodePoint(code)) });
}

export function PlanEditor({ source, problems, onChange, ref }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const changed = useRef(onChange);
  const initial = useRef(source);
  useEffect(() => {
    changed.current = onChange;
  }, [onChange]);

  useEffect(() => {
    if (host.current === null) return;
    const editor = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: initial.current,
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          highlightSpecialChars({ specialChars: hiddenCharacters(), render: named }),
          highlightActiveLine(),
          bracketMatching(),
          indentOnInput(),
          json(),
          syntaxHighlighting(highlight),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': 'Plan as JSON' }),
          // Escape then Tab leaves the editor, as everywhere in CodeMirror.
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed.current(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => {
      view.current = null;
      editor.destroy();
    };
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || editor.state.doc.toString() === source) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: source } });
  }, [source]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null) return;
    const text = editor.state.doc.toString();
    const diagnostics = problems.map((problem) => ({ ...rangeOf(text, problem), severity: 'error' as const, message: problem.message }));
    editor.dispatch(setDiagnostics(editor.state, diagnostics));
  }, [problems]);

  useImperativeHandle(ref, () => ({
    jumpTo: (line, column) => {
      const editor = view.current;
      if (editor === null) return;
      const position = offsetOf(editor.state.doc.toString(), { line, column });
      editor.dispatch({ selection: { anchor: position }, effects: EditorView.scrollIntoView(position, { y: 'center' }) });
      editor.focus();
    },
  }));

  return <div ref={host} className="editor" />;
}
