import { ActionIcon, Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { errorText } from '../../api/client';
import { fileURL, listFiles } from '../../api/endpoints';
import { RelativeTime } from '../../components/RelativeTime';
import { bytes } from '../../lib/format';
import { foldFiles } from '../../session/foldFiles';
import type { SessionSnapshot } from '../../session/store';
import { FilePreview } from './FilePreview';

interface Props {
  sessionId: string;
  written: SessionSnapshot['written'];
  seq: number; // of the latest event
  open: string | null;
  onOpen: (path: string | null) => void;
}

// The list is read when the tab opens; what steps write later comes with events. What they remove shows when it is read
// again.
export function FilesTab({ sessionId, written, seq, open, onOpen }: Props) {
  const files = useQuery({
    queryKey: ['session', sessionId, 'files'],
    queryFn: async ({ signal }) => ({ seq, ...(await listFiles(sessionId, signal)) }),
    staleTime: 0,
    gcTime: 0,
  });
  const list = useMemo(() => (files.data === undefined ? [] : foldFiles(files.data.files, files.data.seq, written.all)), [files.data, written]);
  const truncated = files.data?.truncated === true;
  const shown = list.find((file) => file.path === open) ?? null;
  if (files.isError) return <p role="alert" className="text-bad pad">{errorText(files.error)}</p>;
  if (files.data === undefined) return <p className="muted pad" role="status">Reading the files…</p>;
  if (list.length === 0) return <p className="muted pad">No files yet. What the steps write into their workspace shows up here.</p>;
  return (
    <div className="files">
      <Button variant="subtle" size="compact-xs" className="again" loading={files.isFetching} onClick={() => void files.refetch()}>Read again</Button>
      {truncated && <p className="muted" role="status">{list.length.toLocaleString('en')} files are shown; there are more.</p>}
      <ul className="filelist" aria-label="Files">
        {list.map((file) => (
          <li key={file.path}>
            <button type="button" className="file" aria-pressed={file.path === open} onClick={() => onOpen(file.path === open ? null : file.path)}>
              <span className="mono ellipsis">{file.path}</span>
              <span className="muted tabular">{bytes(file.size)}</span>
              <span className="muted tabular file-time"><RelativeTime iso={file.modified_at} /></span>
            </button>
            <ActionIcon component="a" href={fileURL(sessionId, file.path)} download={file.path.split('/').at(-1)} aria-label={`Download ${file.path}`}>
              <IconDownload size={15} aria-hidden />
            </ActionIcon>
          </li>
        ))}
      </ul>
      {shown !== null && <FilePreview key={shown.path} sessionId={sessionId} file={shown} />}
      {open !== null && shown === null && <p className="muted pad">{open} is not {truncated ? 'among the files that are shown' : 'there'}.</p>}
    </div>
  );
}
