// Package sandbox puts a step's program into a world of its own.
//
// [Spec.Start] is called by a step's supervisor. On Linux it starts `init` in new user, PID,
// mount, IPC, UTS and network namespaces; [Init] is that process. As PID 1 it builds a root of
// what a program needs, read-only, with the workspace and a private /tmp; sets limits; gives
// up every privilege; starts the program, waits for it, reports how it ended, and exits, at
// which the kernel kills whatever the program left behind.
//
// The layers stand on their own feet: where the host does not give one, the others are
// still put on, and what is missing is named ([Mode] says whether that refuses the step).
// No layer relies on the program's good will, and the program gets no descriptor, no
// environment and no file of the server.
//
// It imports as little as it can: a step's start waits for it.
//
// Imports: schema.
// Imported by: activities/runner, activities/runner/supervisor, cmd/holdfast/cli, cmd/holdfast/settings, worker.
package sandbox
