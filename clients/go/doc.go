// Package client speaks to a Holdfast server: REST for questions and commands, and the
// WebSocket for following a session.
//
// Every request here may be sent twice without harm (reads, commands that are no-ops when
// repeated, creation under an Idempotency-Key), so the client retries a request that the server
// could not take for as long as [Client.Patience] says. [Client.Watch] hands over each event
// of a session once and in order, however often the connection breaks; only reconnect.go knows
// when to reconnect.
//
// Memory is bounded by one message of the server: events are handed over as they are read, and
// a slow handler slows down the reading.
//
// Imports: schema, schema/wire.
// Imported by: cmd/holdfast/cli.
package client
