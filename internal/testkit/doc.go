// Package testkit has what the benchmarks and the tests of several packages share.
//
// Imports: nothing of this module.
// Imported by: bench.
package testkit
