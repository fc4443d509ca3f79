// Package schema is the vocabulary of Holdfast: ids, statuses, plans, events and
// their payloads, error codes, and the names that the parts use to call each other.
//
// Each word is declared once, here, and means the same in Go, SQL, JSON and the UI.
// TypeScript types are generated from these structs through the OpenAPI document.
//
// Everything in it is pure: no I/O, no clock, no randomness outside [NewID].
//
// Imports: nothing of this module.
// Imported by: most packages.
package schema
