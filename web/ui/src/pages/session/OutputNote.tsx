import { Button } from '@mantine/core';
import { errorText } from '../../api/client';
import type { OlderOutput } from '../../session/useOlderOutput';

interface Props {
  partial: boolean; // there is more than the terminal shows
  older: OlderOutput;
  onOlder: () => void;
  onDownload: () => void;
}

// Says which part of long output the terminal shows, and links to the others.
export function OutputNote({ partial, older, onOlder, onDownload }: Props) {
  if (!partial && !older.shown) return null;
  const button = (label: string, act: () => void, disabled = false) => (
    <Button variant="subtle" size="compact-xs" disabled={disabled} onClick={act}>{label}</Button>
  );
  return (
    <p className="output-note muted" role="status">
      {older.shown ? (
        <>
          <span>{words(older)}</span>
          {button('Older', older.back, older.first || older.reading || older.error !== null)}
          {!older.last && button('Newer', older.forward)}
          {!older.last && button('Newest', older.close)}
        </>
      ) : (
        <>
          <span>The newest part is shown.</span>
          {button('Show older', onOlder)}
        </>
      )}
      {button('Download all', onDownload)}
    </p>
  );
}

function words(older: OlderOutput): string {
  if (older.error !== null) return errorText(older.error);
  if (older.reading) return 'Reading an older part…';
  if (older.first && older.last) return 'All of it is shown.';
  return older.first ? 'The beginning is shown.' : 'An older part is shown.';
}
