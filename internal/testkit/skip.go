package testkit

import (
	"os"
	"testing"
)

// NoSkip is the variable that, set to 1, turns a skipped test into a failed one. CI sets it, so
// that a host that cannot run the security tests does not pass them.
const NoSkip = "HOLDFAST_TEST_NO_SKIP"

// Skip skips a test that this host cannot run, or fails it where [NoSkip] is set.
func Skip(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv(NoSkip) == "1" {
		tb.Fatalf("skipped, and %s is set: %s", NoSkip, why)
	}
	tb.Skip(why)
}

// Exemption names something that CI's machines never have, so that tests that need it are
// skipped there, too.
type Exemption string

// CgroupV2 is a delegated cgroup v2 group with controllers. CI's machines have cgroup v1, and
// steps there run with the substitutes, which have tests of their own.
const CgroupV2 Exemption = "cgroup v2"

// SkipExempt skips a test that lacks something exempt.
func SkipExempt(tb testing.TB, lacking Exemption, why string) {
	tb.Helper()
	tb.Skipf("without %s: %s", lacking, why)
}
