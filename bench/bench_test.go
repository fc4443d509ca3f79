package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Every row runs once, small, so that the benchmarks cannot rot.
func TestRows_RunSmall(t *testing.T) {
	bin := os.Getenv("HOLDFAST_BENCH_BIN")
	if bin == "" {
		bin = "../bin/holdfast"
	}
	if _, err := os.Stat(bin); err != nil {
		t.Skip("bin/holdfast is not built; make test-e2e runs this after the build")
	}
	out := t.TempDir()
	if err := run(t.Context(), options{bin: bin, out: out, small: true}); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(out, "*.json")); err != nil || len(left) != 1 {
		t.Fatalf("it left %q, %v", left, err)
	} else if err := plot(filepath.Join(out, "plot.svg"), left); err != nil {
		t.Fatal(err)
	}
}
