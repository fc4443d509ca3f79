//go:build unix

package supervisor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// exitBytes is the space reserved for the record of how a program ended: its texts are cut to
	// fit.
	exitBytes = 16 << 10
	// maxExitText limits each text of an exit, in bytes; one byte becomes at most six in JSON.
	maxExitText = 1 << 10
)

// exitRecord is the file that says how the program ended. Its disk space is reserved before the
// program starts, so that a disk that fills up meanwhile cannot undo a success. The file is empty
// until it is written; its existence says that the program may have run.
type exitRecord struct{ file *os.File }

func reserveExit() (*exitRecord, error) {
	file, err := os.OpenFile(exitFile, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if reserve(file, exitBytes) == nil {
		return &exitRecord{file}, nil
	}
	// A file system that cannot reserve: write the space now, and overwrite it later.
	if _, err := file.WriteAt(make([]byte, exitBytes), 0); err != nil {
		_ = file.Close()
		_ = os.Remove(exitFile) // nothing has begun
		return nil, err
	}
	return &exitRecord{file}, nil
}

// write records how the program ended. It may be called again after a failure.
func (r *exitRecord) write(e *Exit) error {
	e.StartError, e.Message = clip(e.StartError), clip(e.Message)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := r.file.WriteAt(text, 0); err != nil {
		return err
	}
	_ = r.file.Truncate(int64(len(text))) // the rest is empty
	return nil
}

// wanted reports whether the file still has a name: a worker that has recorded the exit removes it
// with its folder.
func (r *exitRecord) wanted() bool {
	info, err := r.file.Stat()
	if err != nil {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Nlink > 0
}

func clip(s string) string {
	if len(s) <= maxExitText {
		return s
	}
	return strings.ToValidUTF8(s[:maxExitText], "") + "…"
}

// ReadExit reads how an attempt's program ended. It exists once the spool is complete.
func ReadExit(dir string) (Exit, error) {
	var e Exit
	text, err := os.ReadFile(filepath.Join(dir, exitFile))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(bytes.TrimRight(text, "\x00"), &e)
}

// Began reports whether an attempt's program may have been started: a supervisor that has not
// reserved space for its exit has started nothing.
func Began(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, exitFile))
	return !os.IsNotExist(err)
}
