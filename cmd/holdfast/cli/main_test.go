package cli

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// The test binary is its own supervisor, like `holdfast supervise` in the product.
func TestMain(m *testing.M) {
	if code, ok := supervisor.Main(os.Args[1:]); ok {
		os.Exit(code)
	}
	os.Exit(storetest.Main(m))
}
