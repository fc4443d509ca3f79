// Package spool is a step's output on its host's disk. A supervisor writes it and a worker reads
// it, so that neither has to wait for the other, or even be there.
//
// A spool is a folder of segments, each named after its starting offset. A segment is a sequence of
// complete frames. Offsets count the bytes of all segments, including headers, from 0.
//
// What it promises:
//
//   - frames are read as they were written, in order; a frame that its writer did not finish because it
//     was killed is not read;
//   - a writer that is a limit ahead of what was consumed blocks; it never drops anything;
//   - consumed segments are removed.
//
// It relies on the page cache, without syncing: it has to survive its processes, not its machine.
//
// Imports: internal/testsignal.
// Imported by: activities/runner, activities/runner/supervisor.
package spool
