package workflows_test

import (
	"flag"
	"os"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

// 500 cases for each of the model's four parts, unless -rapid.checks is set.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	os.Exit(testkit.Main(m))
}
