package store_test

import (
	"os"
	"testing"

	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envCompact) != "" {
		compactChild()
		return
	}
	os.Exit(storetest.Main(m))
}
