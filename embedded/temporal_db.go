package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The development server makes its database in place, table by table, and cannot go on with a half-made one: after a
// kill or a full disk during its first start it would never start again. So the file "making" stays beside the database
// until the server has been ready once. Nobody gets the server's address before that, so a database with that file
// beside it holds nothing, and is made afresh.

func (t *Temporal) database() string   { return filepath.Join(t.Dir, "temporal.db") }
func (t *Temporal) unfinished() string { return filepath.Join(t.Dir, "making") }

// beginDatabase removes a half-made database, and notes that one is being made.
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
		return nil // it exists, or the server will say why it cannot be read
	}
	file, err := os.OpenFile(t.unfinished(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("begin a database: %w", err)
	}
	return errors.Join(file.Close(), syncFile(t.Dir))
}

// keepDatabase is called when the server is ready. It syncs the database before it removes the note, because the server
// does not: a power cut could otherwise leave half a database without the note.
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

// syncFile flushes a file or folder to the disk.
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

// writeWhole writes a whole file or nothing to the disk, even if the power is cut or the disk is full.
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

// noSpace marks an error caused by a full disk.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ErrNoSpace, err)
	}
	return err
}
