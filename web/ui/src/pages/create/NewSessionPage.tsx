import { Button } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useCommandsBlocked } from '../../app/health';
import { ApiError, errorText } from '../../api/client';
import { createSession, listExamples } from '../../api/endpoints';
import type { Example, NewSession } from '../../api/types';
import { IdempotencyKey } from '../../lib/idempotency';
import { planFromSource } from '../../lib/planSource';
import { configOf, DEFAULT_OPTIONS, optionsValid } from '../../lib/sessionOptions';
import { PlanEditor } from './PlanEditor';
import type { PlanEditorHandle } from './PlanEditor';
import { PlanSource } from './PlanSource';
import { ProblemList } from './ProblemList';
import { SessionOptions } from './SessionOptions';
import { useValidation } from './useValidation';

const route = getRouteApi('/new');

export function NewSessionPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [source, setSource] = useState('');
  const [options, setOptions] = useState(DEFAULT_OPTIONS);
  const [key] = useState(() => new IdempotencyKey());
  const editor = useRef<PlanEditorHandle>(null);
  const validation = useValidation(source);
  const examples = useQuery({ queryKey: ['examples'], queryFn: ({ signal }) => listExamples(signal), staleTime: Infinity });

  useEffect(() => {
    document.title = 'New session · Holdfast';
  }, []);

  const load = useCallback((text: string, name: string) => {
    setSource(text);
    setOptions((old) => ({ ...old, name }));
  }, []);
  const chosen = examples.data?.find((example) => example.id === search.example);
  useEffect(() => {
    if (chosen !== undefined) load(chosen.source, chosen.title);
  }, [chosen, load]);

  const blocked = useCommandsBlocked();
  const start = useMutation({
    mutationFn: (body: NewSession) => createSession(body, key.for(body)),
    onSuccess: (session) => navigate({ to: '/sessions/$id', params: { id: session.id } }),
  });
  const submit = () => {
    const plan = planFromSource(source);
    if (plan === null || validation.state !== 'valid' || !optionsValid(options) || start.isPending) return;
    start.mutate({
      name: options.name.trim() || undefined,
      mode: 'runbook',
      attended: true,
      plan,
      config: configOf(options),
    });
  };
  const pick = (example: Example) => {
    void navigate({ search: { example: example.id }, replace: true });
    if (example.id === search.example) load(example.source, example.title);
  };

  return (
    <div className="page page-wide">
      <div className="page-head"><h1>New session</h1></div>
      <div className="create">
        <div className="create-main">
          <PlanSource onLoad={(text, fileName) => load(text, fileName.replace(/\.json$/i, ''))}>
            <PlanEditor ref={editor} source={source} problems={validation.problems} onChange={setSource} />
          </PlanSource>
          <ProblemList validation={validation} onJump={(line, column) => editor.current?.jumpTo(line, column)} />
        </div>
        <form
          className="create-side"
          aria-label="Session options"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          {(examples.data ?? []).length > 0 && (
            <fieldset className="examples">
              <legend>Start from an example</legend>
              {(examples.data ?? []).map((example) => (
                <button key={example.id} type="button" className="card" aria-pressed={example.id === search.example} onClick={() => pick(example)}>
                  <strong>{example.title}</strong>
                  <span className="muted">{example.description}</span>
                </button>
              ))}
            </fieldset>
          )}
          <SessionOptions values={options} onChange={setOptions} />
          {start.isError && (
            <p role="alert" className="text-bad">
              {start.error instanceof ApiError ? errorText(start.error) : `${errorText(start.error)} Start again when it is back: it makes only one session.`}
            </p>
          )}
          {blocked !== null && <p className="text-attention">{blocked}</p>}
          <Button type="submit" size="sm" disabled={blocked !== null || validation.state !== 'valid' || !optionsValid(options)} loading={start.isPending}>Start session</Button>
        </form>
      </div>
    </div>
  );
}
