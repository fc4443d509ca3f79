// Package e2e tests the product as its users have it: the real bin/holdfast with the real
// Postgres, Temporal and step processes, through REST, WebSocket, the command line and the
// temporal CLI, and with SIGKILL for everything that can die. It shares no client code with
// the product, so that a mistake in one is not hidden by the same mistake in the other.
//
// Imports: nothing of this module.
// Imported by: nothing of this module.
package e2e
