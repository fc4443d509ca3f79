// Package runner runs the steps of plans, each in a world of its own.
//
// A step's program is started by a supervisor: a small process that owns everything the
// program starts, and that outlives its worker (see package supervisor). It keeps what the
// program prints in a spool on the disk (package spool), and starts the program in
// namespaces of its own, with the workspace and little else (package sandbox). The runner
// is the worker's side: it starts supervisors, or comes back to those that an earlier
// worker of this host has left, and carries what they say to the store.
//
// What the package promises:
//
//   - output reaches the store in the order in which it was printed, in chunks, each once,
//     whoever dies: how far the spool has been taken over is recorded with it;
//   - nothing is dropped: while the store is away for long the program blocks on its pipe;
//   - while one attempt at a step has a process on this host, no other attempt is started;
//   - a caller that loses its connection detaches, and so does a worker that ends; the next
//     call for the same execution attaches to what runs;
//   - a step to which a worker comes back is brought in line with its session: ended,
//     frozen or let go on;
//   - a stop counts what it ended, and what it could not end.
//
// Imports: activities/runner/sandbox, activities/runner/spool, activities/runner/supervisor, activities/workspace, internal/filelock, schema, schema/store, snapshot.
// Imported by: activities, worker.
package runner
