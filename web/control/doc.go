// Package control carries out commands: it is the only client of Temporal in a web server.
//
// A command becomes an update of the session's workflow. It has a deadline, and a key under which
// it is done once however often it comes; the same key with another request is a conflict. Control
// waits until Postgres shows what a command has led to, so that whoever reads after the answer sees it.
// While Temporal or every worker is away, commands are refused as unavailable, and what is durable in
// Postgres already is made good later:
//
//   - the sweeper starts the workflows of new sessions and ends those of deleted ones;
//   - the reconciler finds sessions whose workflow is gone: the run under way has failed, and the
//     workflow begins anew with what Postgres knows.
//
// Errors are [schema.Error]s whose messages are for the caller.
//
// Imports: internal/testsignal, internal/wait, logs, schema, schema/store, schema/wire, web/caller.
// Imported by: web, web/api, web/socket.
package control
