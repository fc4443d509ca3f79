// Package journal writes down what happens to sessions: each line of [Lines] in the log of the process that committed
// it, and the counters that go with it. It listens to the store, so that nothing is logged that was not committed, and
// nothing twice, however often Temporal replays a workflow or tries an activity.
//
// Imports: logs, schema, schema/store, telemetry.
// Imported by: cmd/holdfast/cli, telemetry/docs.
package journal
