package cli

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// The test binary is its own supervisor, as `holdfast supervise` is in the product.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(supervisor.Run())
	}
	os.Exit(storetest.Main(m))
}
