// Package logs makes the loggers of every process, and carries the attributes that
// belong to a piece of work (session_id, run_id, step_id) in its context.
//
// [New] returns a log/slog logger that writes JSON, or text on a terminal. [With] puts
// attributes into a context; the logger adds them to every record that is logged with that
// context (InfoContext and its siblings), so no caller repeats them. A record that names
// the same attribute itself wins over the context.
//
// A log line is an event with attributes, not a sentence built by hand. Any package may
// import logs, except schema and workflows: workflow code logs through its own logger.
//
// Imports: nothing of this module.
// Imported by: most packages.
package logs
