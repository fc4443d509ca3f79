package main

import (
	"os"
	"testing"
)

// Every row runs once, small, so that the benchmarks cannot rot.
func TestRows_RunSmall(t *testing.T) {
	const bin = "../bin/holdfast"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("bin/holdfast is not built; make test-e2e runs this after the build")
	}
	if err := run(t.Context(), bin, t.TempDir(), "", true); err != nil {
		t.Fatal(err)
	}
}
