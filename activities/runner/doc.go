// Package runner runs the steps of plans, each in its own world.
//
// A step's program is started by a supervisor: a small process that owns everything the program
// starts, and outlives its worker (see package supervisor). It keeps the program's output in a
// spool on the disk (package spool), and starts the program in its own namespaces, with the
// workspace and little else (package sandbox). The runner is the worker's side: it starts
// supervisors, or comes back to those of an earlier worker on this host, and carries what they
// report to the store.
//
// What the package promises:
//
//   - output reaches the store in the order in which it was printed, in chunks, each once, whatever dies:
//     the spool offset is recorded along with it;
//   - nothing is dropped: while the store is down for long, the program blocks on its pipe;
//   - while one attempt at a step has a process on this host, no other attempt is started;
//   - a caller that loses its connection detaches, and so does a worker that ends; the next call for the
//     same execution attaches to the running step;
//   - when a worker comes back to a step, it does what the session's state requires: it ends the step,
//     freezes it or lets it go on;
//   - a stop counts what it ended, and what it could not end.
//
// Imports: activities/runner/sandbox, activities/runner/spool, activities/runner/supervisor, activities/workspace, internal/filelock, logs, schema, schema/store, snapshot, telemetry/traceparent.
// Imported by: activities, worker.
package runner
