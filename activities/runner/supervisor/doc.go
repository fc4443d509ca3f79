// Package supervisor is the small process that owns everything a step starts, and the
// protocol in which a worker talks to it.
//
// A supervisor has a folder: it finds in it what to do (spec.json), and leaves in it what the
// program printed (a spool), and how it ended (exit.json, when the spool is whole). It does
// not need its worker: the worker that started it talks to it over a connection that it
// inherits, each later one over the socket `control` in the folder, in lines of JSON. One
// worker at a time: a new one takes the place of the one before. The step's lock file is held
// until the supervisor is gone. When nobody comes back for long, it ends the step by itself.
//
// The program talks to it too, over a socket of its own, in HTTP: see [asks].
//
// It imports as little as it can: a step's start waits for this process's.
//
// Imports: activities/runner/network, activities/runner/sandbox, activities/runner/spool, schema.
// Imported by: activities, activities/runner, cmd/holdfast, cmd/holdfast-supervisor, cmd/holdfast/cli, worker.
package supervisor
