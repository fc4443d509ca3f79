// Package stack is holdfast up: the whole product on one machine, each part a child process of its own.
//
//	postgres ─┬─ migrate (once) ─┬─ worker
//	temporal ─┴──────────────────┴─ web
//
// It promises: one up per data folder (by a lock that the kernel releases with the process); a part that dies is
// restarted on the same port with the same data; parts stop in the order web, worker, temporal, postgres; and after a
// SIGKILL of any or all of it the next up ends what was left over and goes on.
//
// Imports: cmd/holdfast/disk, embedded, internal/filelock, logs, schema, worker.
// Imported by: cmd/holdfast/cli.
package stack
