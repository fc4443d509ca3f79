package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/filelock"
)

// ErrInUse says that another up holds the data folder.
var ErrInUse = errors.New("data folder is in use")

// state is what up writes to DATA/up.json, for the next up and for anyone who wants to know.
type state struct {
	embedded.Owned

	Since      time.Time        `json:"since"`
	Web        string           `json:"web,omitempty"`
	Temporal   string           `json:"temporal,omitempty"`
	TemporalUI string           `json:"temporal_ui,omitempty"`
	Postgres   string           `json:"postgres,omitempty"` // host and port; the password stays in its own file
	Children   []embedded.Owned `json:"children"`
}

// holder owns a data folder: its lock and its state file.
type holder struct {
	path string
	lock *os.File

	mu    sync.Mutex
	state state
}

// hold takes the data folder, or fails with ErrInUse and says who has it. It returns the children that a killed up left
// in the state file; they may or may not be alive.
func hold(dir string) (*holder, []embedded.Owned, error) {
	if err := disk.Private(dir); err != nil {
		return nil, nil, fmt.Errorf("data folder: %w", err)
	}
	h := &holder{path: filepath.Join(dir, "up.json")}
	lock, _, err := filelock.Try(filepath.Join(dir, "up.lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, nil, fmt.Errorf("%w: %s by %s", ErrInUse, dir, readState(h.path).who())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock data folder: %w", err)
	}
	h.lock = lock
	left := readState(h.path).Children
	self, err := embedded.OwnedBy("up", os.Getpid())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("lock data folder: %w", err), h.release())
	}
	// The last up's children stay recorded until they are ended, in case this one is killed first.
	h.state = state{Owned: self, Since: time.Now().UTC().Truncate(time.Millisecond), Children: left}
	if err := h.write(); err != nil {
		return nil, nil, errors.Join(err, h.release())
	}
	return h, left, nil
}

// readState reads a state file; an unreadable one counts as missing.
func readState(path string) state {
	var read state
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &read) != nil {
		return state{}
	}
	return read
}

func (s state) who() string {
	if !s.Alive() {
		return "another process"
	}
	who := fmt.Sprintf("holdfast up, pid %d, since %s", s.PID, s.Since.Format(time.RFC3339))
	if s.Web != "" {
		who += ", at " + s.Web
	}
	return who
}

// update changes the state and writes it to the file.
func (h *holder) update(change func(*state)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.state)
	return h.write()
}

// now returns the state as it is.
func (h *holder) now() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

// record notes the current process of the child of this name.
func (h *holder) record(name string, pid int) error {
	owned, err := embedded.OwnedBy(name, pid)
	if err != nil {
		return nil //nolint:nilerr // it has ended already: it cannot be left over
	}
	return h.update(func(s *state) {
		s.Children = slices.DeleteFunc(s.Children, func(o embedded.Owned) bool { return o.Name == name })
		s.Children = append(s.Children, owned)
	})
}

func (h *holder) write() error {
	content, err := json.MarshalIndent(h.state, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", h.path, err)
	}
	fresh := h.path + ".new"
	if err := os.WriteFile(fresh, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(fresh, h.path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// release gives up the data folder; the state file stays if children may be left.
func (h *holder) release() error {
	return h.lock.Close()
}

// endLeftovers ends the recorded processes that still live, all at once, and returns their names.
func endLeftovers(ctx context.Context, left []embedded.Owned) ([]string, error) {
	const grace = 3 * time.Second
	ended := make([]bool, len(left))
	errs := make([]error, len(left))
	var all sync.WaitGroup
	for i, owned := range left {
		all.Go(func() { ended[i], errs[i] = owned.End(ctx, stopSignal(owned.Name), grace) })
	}
	all.Wait()
	var names []string
	for i, owned := range left {
		if ended[i] {
			names = append(names, owned.Name)
		}
	}
	return names, errors.Join(errs...)
}

func stopSignal(name string) syscall.Signal {
	if name == namePostgres {
		return embedded.PostgresStopSignal
	}
	return syscall.SIGTERM
}
