package cli

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// supervise is the supervisor's program.
var supervise string

func TestMain(m *testing.M) {
	var remove func()
	supervise, remove = testkit.BuildSupervisor()
	code := storetest.Main(m)
	remove()
	os.Exit(code)
}
