// Package workspace keeps the folder in which a session's steps work: it brings it to the
// session's latest snapshot, puts the plan's files there, and saves it when an attempt has ended.
// It never reads or writes outside of it, whatever links it finds.
//
// Imports: schema, snapshot.
// Imported by: activities, activities/runner, worker.
package workspace
