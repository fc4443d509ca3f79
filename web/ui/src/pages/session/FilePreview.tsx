import { Button, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import { errorText, send } from '../../api/client';
import { fileURL } from '../../api/endpoints';
import { bytes } from '../../lib/format';
import { previewKind } from '../../lib/preview';
import { wasWritten } from '../../session/foldFiles';
import type { KnownFile } from '../../session/foldFiles';
import { CsvTable } from './CsvTable';

const Markdown = lazy(() => import('./MarkdownPreview'));

const TEXT_LIMIT = 512_000;

interface Props {
  sessionId: string;
  file: KnownFile;
}

// A file as it was when it was opened. If a step writes it again, a person decides when to look.
export function FilePreview({ sessionId, file: latest }: Props) {
  const [file, setFile] = useState(latest);
  const kind = previewKind(file.path, file.media_type);
  const url = fileURL(sessionId, file.path, file.modified_at);
  return (
    <section className="preview" aria-label={`Preview of ${file.path}`}>
      {wasWritten(file, latest) && (
        <p className="muted" role="status">
          This file was written again. <Button variant="default" size="compact-xs" onClick={() => setFile(latest)}>Show it as it is now</Button>
        </p>
      )}
      {kind === 'none' && <p className="muted">No preview for this kind of file. Download it to look inside.</p>}
      {/* Always an image element: a script inside an SVG does not run there. */}
      {kind === 'image' && <img src={url} alt={file.path} className="preview-image" />}
      {kind !== 'none' && kind !== 'image' && <TextPreview key={url} sessionId={sessionId} file={file} url={url} />}
    </section>
  );
}

function TextPreview({ sessionId, file, url }: Props & { url: string }) {
  const text = useQuery({
    queryKey: ['file', url],
    queryFn: async ({ signal }) => {
      const headers: Record<string, string> = file.size > TEXT_LIMIT ? { Range: `bytes=0-${TEXT_LIMIT - 1}` } : {};
      return (await send(url, { headers, signal })).text();
    },
    staleTime: Infinity,
    gcTime: 30_000,
  });
  if (text.isError) return <p role="alert" className="text-bad">{errorText(text.error)}</p>;
  if (text.data === undefined) return <Skeleton h={120} />;
  return (
    <>
      {file.size > TEXT_LIMIT && <p className="muted">The first {bytes(TEXT_LIMIT)} of {bytes(file.size)}.</p>}
      <Body sessionId={sessionId} file={file} text={text.data} />
    </>
  );
}

function Body({ sessionId, file, text }: { sessionId: string; file: KnownFile; text: string }) {
  const kind = previewKind(file.path, file.media_type);
  if (kind === 'csv' || kind === 'tsv') return <CsvTable text={text} separator={kind === 'csv' ? ',' : '\t'} name={file.path} />;
  if (kind === 'markdown') {
    return (
      <Suspense fallback={<Skeleton h={120} />}>
        <Markdown text={text} sessionId={sessionId} path={file.path} />
      </Suspense>
    );
  }
  return <pre className="command preview-text">{kind === 'json' ? pretty(text) : text}</pre>;
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
