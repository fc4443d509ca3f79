// Package spool is a step's output on its host's disk: what a supervisor writes and a worker
// reads, so that neither has to wait for the other, or even be there.
//
// A spool is a folder of segments, named after the offset at which they start. A segment is a
// row of frames; a frame is whole in one segment. Offsets count the bytes of all segments,
// headers included, from 0.
//
// What it promises:
//
//   - a frame is read as it was written, in order; of one that its writer did not finish
//     because it was killed, nothing is read;
//   - a writer that is a limit ahead of what was consumed blocks; it never drops anything;
//   - segments that were consumed are removed.
//
// It is written with the page cache in mind, and not synced: it has to survive its processes,
// not its machine.
//
// Imports: nothing of this module.
// Imported by: activities/runner, activities/runner/supervisor.
package spool
