// Package disk knows how much room a folder's disk has, and warns when there is little.
//
// A full disk loses nothing: programs block, records wait. But nothing goes on either, so somebody has to look before
// that. [Watch] warns once when the room falls below a bound, and says once when it is back.
//
// Imports: schema.
// Imported by: cmd/holdfast/cli, cmd/holdfast/settings, cmd/holdfast/stack.
package disk
