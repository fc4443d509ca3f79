package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast/holdfast/internal/filelock"
	"github.com/holdfast/holdfast/schema"
)

// A data folder has one worker at a time: two would both answer for the same steps. The worker
// holds it with a lock on worker.lock that the kernel releases with the process; worker.json beside
// it says who holds it, and where it listens.
const (
	lockFile   = "worker.lock"
	holderFile = "worker.json"
	socketFile = "worker.sock"
	// maxSocketPath is a length that unix sockets on every system accept.
	maxSocketPath = 100
	// The previous worker may be about to end.
	holdPatience = 500 * time.Millisecond
	holdPoll     = 20 * time.Millisecond
)

// lockOwner is what worker.json says.
type lockOwner struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	BuildID string    `json:"build_id,omitempty"`
	Since   time.Time `json:"since"`
	Socket  string    `json:"socket,omitempty"` // for `holdfast worker --drain`
}

func (h *lockOwner) String() string {
	if h.PID == 0 {
		return "another worker"
	}
	return fmt.Sprintf("the worker of host %s, pid %d, since %s", h.Host, h.PID, h.Since.Format(time.RFC3339))
}

// folderLock is a data folder held by this process.
type folderLock struct {
	dir  string
	lock *os.File
	me   lockOwner
	temp string // a folder for the socket alone, if the data folder's path is too long
}

// holdDataDir takes the data folder, or fails with an error that says who has it.
func holdDataDir(o *Options) (*folderLock, error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, free, err := lockDataDir(o.DataDir)
	for deadline := time.Now().Add(holdPatience); err == nil && !free && time.Now().Before(deadline); {
		time.Sleep(holdPoll)
		lock, free, err = lockDataDir(o.DataDir)
	}
	if err != nil {
		return nil, err
	}
	if !free {
		who := readLockOwner(o.DataDir)
		return nil, schema.Errorf(schema.CodeConflict, "the data folder %s is in use by %s; a data folder has one worker at a time", o.DataDir, &who)
	}
	h := &folderLock{dir: o.DataDir, lock: lock}
	h.me = lockOwner{PID: os.Getpid(), Host: o.Host, BuildID: o.BuildID, Since: time.Now().UTC().Truncate(time.Millisecond)}
	h.me.Socket, err = filepath.Abs(filepath.Join(o.DataDir, socketFile))
	if err == nil && len(h.me.Socket) > maxSocketPath {
		h.temp, err = os.MkdirTemp("", "holdfast-")
		h.me.Socket = filepath.Join(h.temp, socketFile)
	}
	if err == nil {
		err = os.Remove(h.me.Socket) // left by a killed worker
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		if err := h.write(); err != nil { // a full disk, which this worker may be able to empty
			o.Logger.Warn("the data folder does not say who holds it", "data_dir", o.DataDir, "error", err)
		}
	}
	if err != nil {
		h.release()
		return nil, fmt.Errorf("hold the data folder: %w", err)
	}
	return h, nil
}

// lockDataDir locks a data folder, if nobody holds it.
func lockDataDir(dir string) (lock *os.File, free bool, err error) {
	lock, _, err = filelock.Try(filepath.Join(dir, lockFile))
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("lock the data folder: %w", err)
	default:
		return lock, true, nil
	}
}

func (h *folderLock) write() error {
	text, err := json.MarshalIndent(h.me, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(h.dir, holderFile)
	fresh := name + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}

// release releases the data folder.
func (h *folderLock) release() {
	_ = os.Remove(filepath.Join(h.dir, holderFile))
	_ = os.Remove(h.me.Socket)
	if h.temp != "" {
		_ = os.Remove(h.temp)
	}
	_ = h.lock.Close()
}

// readLockOwner reads who holds a data folder; an unreadable file counts as missing.
func readLockOwner(dir string) lockOwner {
	var h lockOwner
	text, err := os.ReadFile(filepath.Join(dir, holderFile))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return lockOwner{}
	}
	return h
}
