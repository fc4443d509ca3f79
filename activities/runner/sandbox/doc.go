// Package sandbox puts a step's program into a world of its own.
//
// A step's supervisor calls [Spec.Start]. On Linux it starts `init` in new user, PID, mount, IPC,
// UTS and network namespaces; [Init] is that process. As PID 1 it builds a read-only root with what
// a program needs, plus the workspace and a private /tmp. It sets limits, drops every privilege,
// starts the program, waits for it, reports how it ended, and exits. The kernel then kills whatever
// the program left behind.
//
// The layers are independent: if the host does not give one, the others still apply, and what is
// missing is reported ([Mode] says whether that refuses the step). No layer relies on the program's
// cooperation, and the program gets no descriptor, no environment and no file of the server.
//
// It imports as little as possible: a step's start waits for it.
//
// Imports: schema.
// Imported by: activities/runner, activities/runner/supervisor, cmd/holdfast/cli, cmd/holdfast/settings, worker.
package sandbox
