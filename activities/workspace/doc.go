// Package workspace manages the folder in which a session's steps work. It restores the session's
// latest snapshot, writes the plan's files, and saves the folder after an attempt has ended. It
// never reads or writes outside it, whatever links it finds.
//
// Imports: schema, snapshot.
// Imported by: activities, activities/runner, worker.
package workspace
