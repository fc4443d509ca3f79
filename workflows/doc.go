// Package workflows holds Holdfast's only workflow, Session, and nothing but deterministic
// code. A session is an entity workflow with the id `session-<session id>` that lives as
// long as the session does.
//
// The files, each with one task:
//
//   - session.go  the loop: collect signals and results, advance, record, act, wait
//   - state.go    State, everything that a session knows, serialisable
//   - pending.go  what of State is not recorded yet
//   - bounds.go   how much is sent to Temporal at once
//   - machine.go  the pure moves of State: what comes next
//   - approvals.go  the pure moves of State around approvals
//   - edits.go  the pure moves of State around modifications
//   - commands.go  the pure moves of State for other commands
//   - handlers.go commands, as updates and signals, and queries; they change State and return at once
//   - signals.go  when signals are received
//   - act.go      the activities that the loop runs
//   - options.go  every timeout and retry policy
//   - hosts.go  which host runs a session's steps
//   - legacy.go  what histories of earlier releases need in order to replay
//   - unrecorded.go  what to do about a record that Postgres refuses
//
// What it promises:
//
//   - every change of State is recorded in Postgres, once, before anything that follows from it
//     starts;
//   - the first decision on an approval wins; a repetition changes nothing; any other is refused;
//   - a step that has succeeded is never started again;
//   - between two moves everything can continue as new, even while steps run;
//   - nothing that it sends to Temporal grows with what people send at once.
//
// Imports: schema.
// Imported by: worker.
package workflows
