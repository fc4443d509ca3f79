package activities_test

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
