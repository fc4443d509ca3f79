package store_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envCompact) != "" {
		compactChild()
		return
	}
	code := storetest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
