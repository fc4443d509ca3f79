// Package activities is what a session does outside its workflow: one struct for each dependency,
// registered under the names in schema.
//
//   - Records  Postgres: rows and events of every transition
//   - Steps    the workspaces and processes of running steps
//
// Every activity can be repeated: doing it twice has the effect of doing it once.
//
// Imports: activities/runner, activities/runner/supervisor, activities/workspace, logs, schema, schema/store, telemetry/traceparent.
// Imported by: worker.
package activities
