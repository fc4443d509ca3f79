// Package snapshot saves the contents of a workspace in a blob store, and restores them: on another
// host, in a forked session, or for a browser when the host is gone.
//
// A snapshot is a [Manifest], a sorted list of what is in the folder, named by the SHA-256 of its
// canonical encoding. The content of files is in separate blobs of at most 4 MiB, each named by the
// SHA-256 of its content. So a change in a large file costs only its changed parts, and sessions
// share what they have in common. Both are compressed, and both are checked against their names
// whenever they are read.
//
// It promises:
//   - Nothing outside the folder is read or written, whatever links there are and whatever happens to a folder
//     meanwhile: every path is opened one component at a time, and links are never followed.
//   - What survives: content, holes, names of any bytes, permissions, modification times to the
//     nanosecond, symbolic links as links, hard links among the files of the workspace, empty
//     folders. What does not: owners, set-user-id and set-group-id bits, extended attributes,
//     named pipes, sockets and devices, which are counted as skipped.
//   - A folder is at one snapshot or at none: its position is written last, and removed first.
//   - Only what changed since the last save is read ([Folder]), and only what the store does not have is
//     written to it.
//
// [Store.Collect] collects the blobs of deleted sessions, given the snapshots that are still
// needed. The cloud drivers are in snapshot/clouds.
//
// Imports: schema.
// Imported by: activities/runner, activities/workspace, cmd/holdfast/cli, web, web/api, worker.
package snapshot
