package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The development server makes its database in place, table by table, and cannot go on with one that is made by half:
// after a kill or a full disk in its first start it would never start again. So the file "making" stands beside the
// database until that has been ready once. Nobody is given the server's address before, so that a database beside which
// it still stands holds nothing, and is made anew.

func (t *Temporal) database() string   { return filepath.Join(t.Dir, "temporal.db") }
func (t *Temporal) unfinished() string { return filepath.Join(t.Dir, "making") }

// beginDatabase clears away a database whose making was cut short, and notes that one is being made.
func (t *Temporal) beginDatabase() error {
	_, err := os.Stat(t.unfinished())
	switch {
	case err == nil:
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(t.database() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("clear an unfinished database: %w", err)
			}
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for an unfinished database: %w", err)
	}
	if _, err := os.Stat(t.database()); !errors.Is(err, fs.ErrNotExist) {
		return nil // it is there, or the server will say why it cannot be read
	}
	file, err := os.OpenFile(t.unfinished(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("begin a database: %w", err)
	}
	return errors.Join(file.Close(), syncFile(t.Dir))
}

// keepDatabase is called when the server is ready. What it has made must be on the disk before the note that it is being
// made is gone: its own writes are not, and a power cut would leave the half of them without the note.
func (t *Temporal) keepDatabase() error {
	if _, err := os.Stat(t.unfinished()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, path := range []string{t.database(), t.database() + "-wal", t.Dir} {
		if err := syncFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep temporal's database: %w", err)
		}
	}
	if err := os.Remove(t.unfinished()); err != nil {
		return fmt.Errorf("keep temporal's database: %w", err)
	}
	return syncFile(t.Dir)
}

// syncFile brings a file or folder to the disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// writeWhole makes a file whole or not at all, on the disk: a power cut or a full disk leaves no half of it.
func writeWhole(path, content string) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(content), 0o600); err != nil {
		return err
	}
	if err := syncFile(fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// noSpace marks an error that a full disk has led to.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ErrNoSpace, err)
	}
	return err
}
