import type { WorkspaceFile } from '../api/types';
import type { WrittenFile } from './store';

// The files of a workspace, by path: a list that was read when the log stood at seq, with what steps wrote since.
export function foldFiles(read: readonly WorkspaceFile[], seq: number, written: Readonly<Record<string, WrittenFile>>): WorkspaceFile[] {
  const files = new Map(read.map((file) => [file.path, file]));
  for (const [path, file] of Object.entries(written)) {
    if (file.seq <= seq) continue;
    files.set(path, { path, size: file.size, media_type: files.get(path)?.media_type ?? '', modified_at: file.at });
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
