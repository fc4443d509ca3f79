// Package testkit is what tests of several packages share, and the benchmarks.
//
// Imports: nothing of this module.
// Imported by: bench.
package testkit
