// Package testkit has what the benchmarks and the tests of several packages share: Main for TestMain, which fails when a
// goroutine is left; Eventually, EventuallyRight and Never, which are how a test waits; a Screen to write to and read
// from; disks that fill, users without rights, processor time.
//
// Imports: nothing of this module.
// Imported by: bench, embedded/embeddedtest, schema/store/storetest.
package testkit
