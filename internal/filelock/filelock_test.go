//go:build unix

package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast/internal/filelock"
)

func TestTry_LocksOnceUntilItIsClosed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, existed, err := filelock.Try(path)
	if err != nil || existed {
		t.Fatalf("first: existed %t, %v", existed, err)
	}
	if _, existed, err := filelock.Try(path); !errors.Is(err, filelock.ErrHeld) || !existed {
		t.Errorf("while it is held: existed %t, %v", existed, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, existed, err := filelock.Try(path)
	if err != nil || !existed {
		t.Fatalf("afterwards: existed %t, %v", existed, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := filelock.Try(filepath.Join(path, "below a file")); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("where no file can be: %v", err)
	}
}

// Removing the file after use must not leave two holders.
func TestTry_HasOneHolderThoughTheFileIsRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var (
		holders atomic.Int32
		all     sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			for range 2000 {
				f, _, err := filelock.Try(path)
				if errors.Is(err, filelock.ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				holders.Add(-1)
				if err := errors.Join(os.Remove(path), f.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
