// Package cli is the holdfast program: its commands, their help and their exit codes.
//
// [Run] takes the arguments, the standard streams and the environment as values and
// returns an exit code, so that tests run it in-process. A command is a struct whose fields
// kong fills and whose Run does the work with an [invocation]; the processes themselves
// (web, worker, up) live in packages of their own, and the command only wires them.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage or a bad setting. A command that follows a
// session ends with its outcome: 0 completed, 1 failed, 3 cancelled, 4 expired, 6 completed
// with failed steps, and 5 when watching ended before the session did; 130 after Ctrl-C.
//
// Imports: activities/runner/sandbox, activities/runner/supervisor, clients/go, cmd/holdfast/disk, cmd/holdfast/settings, cmd/holdfast/stack, cmd/holdfast/terminal, embedded, examples, logs, schema, schema/store, schema/wire, snapshot, telemetry, telemetry/journal, web, web/ui, worker.
// Imported by: cmd/holdfast, cmd/holdfast/cli/reference.
package cli
