package workflows_test

import (
	"flag"
	"os"
	"testing"
)

// 500 cases for each of the model's four parts, unless -rapid.checks is set.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
