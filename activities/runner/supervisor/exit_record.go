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
	// exitBytes is the room that is kept for how a program ended: its texts are cut to fit.
	exitBytes = 16 << 10
	// maxExitText bounds each text of an exit, in bytes; one becomes six in JSON at the most.
	maxExitText = 1 << 10
)

// exitRecord is the file that says how the program ended. Its room on the disk is taken before
// the program starts, so that a disk that has filled meanwhile cannot undo a success. Until it
// is written there is nothing in it; that it is there says that the program may have run.
type exitRecord struct{ file *os.File }

func reserveExit() (*exitRecord, error) {
	file, err := os.OpenFile(exitFile, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if reserve(file, exitBytes) == nil {
		return &exitRecord{file}, nil
	}
	// A file system that cannot reserve: what is written now is written over in its place.
	if _, err := file.WriteAt(make([]byte, exitBytes), 0); err != nil {
		_ = file.Close()
		_ = os.Remove(exitFile) // it has not begun
		return nil, err
	}
	return &exitRecord{file}, nil
}

// write puts down how the program ended. It may be called again when it has failed.
func (r *exitRecord) write(e *Exit) error {
	e.StartError, e.Message = clip(e.StartError), clip(e.Message)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := r.file.WriteAt(text, 0); err != nil {
		return err
	}
	_ = r.file.Truncate(int64(len(text))) // what is behind it is known to be nothing
	return nil
}

// wanted reports whether the file still has a name: a worker that has recorded the exit
// removes it with its folder.
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

// ReadExit reads how an attempt's program ended. It is there once the whole spool is.
func ReadExit(dir string) (Exit, error) {
	var e Exit
	text, err := os.ReadFile(filepath.Join(dir, exitFile))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(bytes.TrimRight(text, "\x00"), &e)
}

// Began reports whether an attempt's program may have been started: a supervisor that has not
// kept room for its exit has started nothing.
func Began(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, exitFile))
	return !os.IsNotExist(err)
}
