import { Button, FileButton } from '@mantine/core';
import { IconUpload } from '@tabler/icons-react';
import { useState } from 'react';
import type { DragEvent, ReactNode } from 'react';
import { bytes } from '../../lib/format';
import { MAX_PLAN_BYTES } from '../../lib/planSource';

interface Props {
  onLoad: (source: string, fileName: string) => void;
  children: ReactNode;
}

// A frame around the editor that accepts a chosen or dropped file.
export function PlanSource({ onLoad, children }: Props) {
  const [over, setOver] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  const read = async (file: File | null | undefined) => {
    if (!file) return;
    if (file.size > MAX_PLAN_BYTES) {
      setProblem(`${file.name} has ${bytes(file.size)}; a plan may have up to ${bytes(MAX_PLAN_BYTES)}.`);
      return;
    }
    setProblem(null);
    onLoad(await file.text(), file.name);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void read(event.dataTransfer.files[0]);
  };
  const isFile = (event: DragEvent) => event.dataTransfer.types.includes('Files');

  return (
    <div
      className="plansource"
      data-over={over || undefined}
      onDragOver={(event) => {
        if (!isFile(event)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDropCapture={(event) => {
        if (isFile(event)) drop(event);
      }}
    >
      <div className="plansource-head">
        <h2>Plan</h2>
        <FileButton onChange={(file) => void read(file)} accept="application/json,.json">
          {(props) => <Button {...props} variant="default" leftSection={<IconUpload size={14} aria-hidden />}>Upload a file</Button>}
        </FileButton>
      </div>
      {problem !== null && <p role="alert" className="text-bad">{problem}</p>}
      {children}
    </div>
  );
}
