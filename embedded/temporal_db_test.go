package embedded_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/testkit"
)

func TestTemporal_StartsAfterAFirstStartThatWasKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const whole = 2 << 20 // what making a database writes, at least
	for written := int64(0); written < whole; written += whole / 4 {
		dir := t.TempDir()
		first := &embedded.Temporal{Dir: dir}
		if err := first.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		process, err := embedded.StartProcess(first.Command(), syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the database to be made in part", func() bool {
			select {
			case <-process.Done():
				t.Fatalf("temporal has ended: %v", process.Err())
			default:
			}
			size := int64(0)
			for _, name := range []string{"temporal.db", "temporal.db-wal"} {
				if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
					size += info.Size()
				}
			}
			return size > written
		})
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		second := &embedded.Temporal{Dir: dir, Headless: true}
		if err := second.Start(t.Context()); err != nil {
			t.Errorf("after a kill with %d bytes written: %v", written, err)
			continue
		}
		if err := second.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "making")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a database that was ready counts as unfinished: %v", err)
		}
	}
}

func TestTemporal_KeepsADatabaseThatWasReady(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := &embedded.Temporal{Dir: dir, Namespaces: []string{"kept"}, Headless: true}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := &embedded.Temporal{Dir: dir, Headless: true}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer second.Stop(t.Context())
	if !embedded.HasNamespace(t.Context(), second, "kept") {
		t.Error("the namespace of the first start is gone")
	}
}

func TestPostgres_SaysAtOnceThatTheDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=10m"); err != nil {
		testkit.Skip(t, "no small disk can be made here: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	server := &embedded.Postgres{Dir: filepath.Join(dir, "postgres"), Settings: unsynced}
	if err := server.Prepare(t.Context()); !errors.Is(err, embedded.ErrNoSpace) || strings.Contains(err.Error(), "\n") {
		t.Errorf("on a full disk: %v; want one line that says so", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=600m"); err != nil {
		t.Fatal(err)
	}
	if err := server.Prepare(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
