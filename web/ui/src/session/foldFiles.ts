import type { WorkspaceFile } from '../api/types';
import type { WrittenFile } from './store';

// A file as far as the page knows it. What a list says of it and what an event says differ: a list has the time at
// which it was written, an event the time at which the step that wrote it was recorded.
export interface KnownFile extends WorkspaceFile {
  listed: boolean; // what is said here is from a list
  writtenAt: number; // the seq of the latest event that says that it was written; 0 if none does
}

// The files of a workspace, by path: a list that was read when the log stood at seq, with what steps wrote since.
export function foldFiles(read: readonly WorkspaceFile[], seq: number, written: ReadonlyMap<string, WrittenFile>): KnownFile[] {
  const files = new Map<string, KnownFile>();
  for (const file of read) files.set(file.path, { ...file, listed: true, writtenAt: written.get(file.path)?.seq ?? 0 });
  for (const [path, file] of written) {
    if (file.seq <= seq) continue;
    files.set(path, { path, size: file.size, media_type: files.get(path)?.media_type ?? '', modified_at: file.at, listed: false, writtenAt: file.seq });
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

// Whether a file was written since it was as shown.
export function wasWritten(shown: KnownFile, latest: KnownFile): boolean {
  if (shown.writtenAt !== latest.writtenAt) return true;
  return shown.listed && latest.listed && (shown.modified_at !== latest.modified_at || shown.size !== latest.size);
}
