import { ActionIcon, Button, Group, TextInput, Tooltip } from '@mantine/core';
import { IconPencil } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { ApiError, errorText } from '../../api/client';
import { renameSession } from '../../api/endpoints';
import type { Session } from '../../api/types';

// The name, and a way to change it. If somebody else changes it meanwhile, it
// says so and does not overwrite that unseen.
export function SessionName({ session }: { session: Session }) {
  const [text, setText] = useState<string | null>(null); // null: not being edited
  const [version, setVersion] = useState(session.version);
  const rename = useMutation({
    mutationFn: ({ name, base }: { name: string; base: number }) => renameSession(session.id, name, base),
    onSuccess: () => setText(null),
  });
  const shown = session.name || session.id.slice(0, 8);
  if (text === null) {
    return (
      <h1 className="session-name">
        <span className="ellipsis">{shown}</span>
        <Tooltip label="Rename">
          <ActionIcon
            size="sm"
            aria-label="Rename the session"
            onClick={() => {
              rename.reset();
              setVersion(session.version);
              setText(session.name);
            }}
          >
            <IconPencil size={15} stroke={1.6} aria-hidden />
          </ActionIcon>
        </Tooltip>
      </h1>
    );
  }
  const stale = rename.error instanceof ApiError && rename.error.status === 409;
  const name = text.trim();
  return (
    <form
      className="rename"
      onSubmit={(event) => {
        event.preventDefault();
        if (name !== '' && !rename.isPending) rename.mutate({ name, base: stale ? session.version : version });
      }}
    >
      <TextInput
        aria-label="Name of the session"
        autoFocus
        maxLength={200}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') setText(null);
        }}
        error={rename.isError ? (stale ? `Somebody changed it meanwhile to “${shown}”. Save again to replace that.` : errorText(rename.error)) : undefined}
      />
      <Group gap={6} wrap="nowrap">
        <Button type="submit" disabled={name === ''} loading={rename.isPending}>Save</Button>
        <Button variant="default" onClick={() => setText(null)}>Keep the old name</Button>
      </Group>
    </form>
  );
}
