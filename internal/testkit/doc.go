// Package testkit is what tests of several packages share, and the benchmarks.
//
// It promises nothing to anything else, and imports nothing of ours.
package testkit
