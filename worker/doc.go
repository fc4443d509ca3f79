// Package worker composes a worker process: the session workflows, the activities that
// record them, and the steps that this host runs.
//
// Imports: activities, activities/runner, activities/runner/sandbox, activities/runner/supervisor, activities/workspace, internal/filelock, internal/wait, logs, schema, schema/store, snapshot, telemetry, workflows.
// Imported by: cmd/holdfast/cli, cmd/holdfast/stack.
package worker
