// Package schema is the vocabulary of Holdfast: ids, statuses, plans, events and
// their payloads, error codes, and the names that the parts use to call each other.
//
// Each word is declared once, here, and means the same in Go, SQL, JSON and the UI.
// TypeScript types are generated from these structs through the OpenAPI document.
//
// Any package may import schema; schema imports the standard library only.
// Everything in it is pure: no I/O, no clock, no randomness outside [NewID].
package schema
