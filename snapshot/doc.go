// Package snapshot keeps what a workspace holds in a blob store, and brings it back: on another
// host, in a forked session, or to a browser when the host is gone.
//
// A snapshot is a [Manifest], a sorted list of what stands in the folder, named by the SHA-256 of
// its canonical encoding. The content of files lies beside it in blobs that are named by the
// SHA-256 of what they hold, 4 MiB of a file at most, so that a change of a large file costs its
// changed parts only and two sessions share what they have in common. Both are compressed, and
// both are checked against their names whenever they are read.
//
// It promises:
//   - Nothing outside of the folder is read or written, whatever links there are and whatever
//     becomes of a folder meanwhile: every path is opened one component at a time, and a link is
//     never followed.
//   - What survives: content, holes, names of any bytes, permissions, modification times to the
//     nanosecond, symbolic links as links, hard links among the files of the workspace, empty
//     folders. What does not: owners, set-user-id and set-group-id bits, extended attributes,
//     named pipes, sockets and devices, which are counted as skipped.
//   - A folder is at a snapshot or at none: what it is at is written last, and taken away first.
//   - Only what changed since the last save is read ([Folder]), and only what is not there yet is
//     written to the store.
//
// Blobs of deleted sessions are collected by [Store.Collect], given the snapshots that are still
// needed. The drivers of the clouds are in snapshot/clouds.
//
// Imports: schema.
// Imported by: activities/runner, activities/workspace, cmd/holdfast/cli, web, worker.
package snapshot
