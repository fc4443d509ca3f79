// Package store is the data plane of Holdfast: sessions, runs, approvals, messages and the
// event log, in Postgres. It is the only package that speaks SQL.
//
// What it promises:
//
//   - The seq of a session's events is 1, 2, 3, … without gaps. The transaction that makes a
//     change also assigns the seqs of its events, under the lock of the session's row. Whoever has
//     read the log up to seq n has seen every change up to n.
//   - Once a run is over, its output moves from rows to blocks, and from Postgres to an [Archive].
//     A log reads the same before, during and after.
//   - Every write can be repeated. Writes carry a key, a batch number or an execution. A repetition
//     changes nothing and gets the first answer, even if that was lost with its connection.
//   - Every transaction that adds events or changes what lists show sends one notice to
//     [Store.Listen], after its commit.
//   - Every error is a [schema.Error]: not_found, conflict, stale, invalid, unavailable (Postgres is
//     down or busy: the same call may succeed later) or internal. A message never contains SQL.
//   - Opening a store does not wait for Postgres, and a store survives any number of restarts of
//     Postgres.
//
// Text columns cannot hold NUL or invalid UTF-8: both are replaced by U+FFFD. The data of an event
// can hold NUL, and keeps it.
//
// Workflows must not import it: they carry ids and decisions.
//
// Imports: internal/testsignal, schema, telemetry/traceparent.
// Imported by: most packages.
package store
