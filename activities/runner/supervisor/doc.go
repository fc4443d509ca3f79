// Package supervisor is the small process that owns everything a step starts, and the
// protocol in which a worker talks to it.
//
// A supervisor has a folder. There it finds what to do (spec.json), and leaves what the program
// printed (a spool) and how it ended (exit.json, once the spool is complete). It does not need its
// worker. The worker that started it talks to it over an inherited connection; later workers use
// the socket `control` in the folder. Both send lines of JSON. There is one worker at a time: a new
// one replaces the previous one. The step's lock file is held until the supervisor is gone. If no
// worker comes back for long, the supervisor ends the step.
//
// The program talks to it too, over its own socket, in HTTP: see [asks].
//
// It imports as little as possible: a step's start waits for this process to start.
//
// Imports: activities/runner/network, activities/runner/sandbox, activities/runner/spool, schema.
// Imported by: activities, activities/runner, cmd/holdfast, cmd/holdfast-supervisor, cmd/holdfast/cli, worker.
package supervisor
