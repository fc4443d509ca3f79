// Package workflows holds Holdfast's only workflow, Session, and nothing but deterministic
// code. A session is an entity workflow with the id `session-<session id>` that lives as
// long as the session does.
//
// The files, each with one task:
//
//   - session.go  the loop: take in signals, advance, record, act, wait
//   - state.go    State, the serialisable whole of what a session knows
//   - pending.go  what of State is still to be recorded
//   - bounds.go   how much of anything Temporal is asked for at once
//   - machine.go  the pure moves of State: what comes next
//   - approvals.go  the pure moves of State around approvals
//   - edits.go  the pure moves of State around modifications
//   - commands.go  the pure moves of State that other commands make
//   - handlers.go commands, as updates and signals, and queries; they change State and return at once
//   - signals.go  when signals are taken in
//   - act.go      what the loop asks activities to do
//   - options.go  every timeout and retry policy
//   - hosts.go  which host runs a session's steps
//   - legacy.go  what histories of earlier releases need in order to replay
//   - unrecorded.go  what to do about a record that Postgres will not take
//
// What it promises:
//
//   - every change of State is recorded in Postgres, once, before anything that follows
//     from it is started;
//   - the first decision on an approval wins; the same again changes nothing; another is
//     refused;
//   - a step that has succeeded is never started again;
//   - between two moves the whole of it can continue as new, also while steps run;
//   - nothing that it asks Temporal for grows with what people send at once.
//
// Imports: schema.
// Imported by: worker.
package workflows
