// Package store is the data plane of Holdfast: sessions, runs, approvals, messages and the
// event log, in Postgres. It is the only package that speaks SQL.
//
// What it promises:
//
//   - The seq of a session's events is 1, 2, 3, … without a gap, given out in the
//     transaction that makes the change which the events report, under the lock of the
//     session's row. Whoever has read the log up to seq n has seen every change up to n.
//   - Of runs that are over, output moves from rows to blocks, and from Postgres to an
//     [Archive]. A log reads the same before, after and meanwhile.
//   - Every write can be repeated. Writes carry a key, a batch number or an execution, and
//     a repetition changes nothing and answers as the first one did, also when the answer
//     to the first one was lost with its connection.
//   - Every transaction that adds events or changes what lists show sends one notice to
//     [Store.Listen], after its commit.
//   - Every error is a [schema.Error]: not_found, conflict, stale, invalid, unavailable
//     (Postgres is away or busy: the same call may go through later) or internal.
//     A message never holds SQL.
//   - Opening a store does not wait for Postgres, and a store outlives any number of its
//     restarts.
//
// Text columns cannot hold NUL: it is replaced by U+FFFD in them, as are bytes that are
// not UTF-8. The data of an event can, and keeps it.
//
// Workflows must not import it: they carry ids and decisions.
//
// Imports: schema.
// Imported by: most packages.
package store
