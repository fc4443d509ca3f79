// Package testkit is what tests of several packages share.
//
// It promises nothing to anything but tests, and imports nothing of ours. Only tests import it.
package testkit
