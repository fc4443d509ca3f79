package health

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
