// Package workspace keeps the folder in which a session's steps work: it puts the plan's
// files there and tells what a step changed. It never reads or writes outside of it,
// whatever links it finds.
//
// Only activities import it.
package workspace

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/holdfast/holdfast/schema"
)

const (
	dirMode     = 0o700
	fileMode    = 0o644
	programMode = 0o755
)

// Prepare makes the folder, if it is not there, and writes a plan's files into it for a run,
// before a step of it starts. A file is written when its text differs from what Prepare wrote
// last for the same run, and never otherwise: in between, the files are the steps'. It
// returns the paths that it wrote.
func Prepare(dir, runID string, files map[string]string) (written []string, err error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make the workspace: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the workspace: %w", err)
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Join(schema.WorkspacePrivate, "tmp"), dirMode); err != nil {
		return nil, fmt.Errorf("make the workspace: %w", err)
	}
	record := recordOf(runID)
	was, first, err := readRecord(root, record, files)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sumOf(files[name])
		if was[name] == sum {
			continue
		}
		if err := writeFile(root, name, files[name]); err != nil {
			return written, err
		}
		was[name] = sum
		written = append(written, name)
	}
	if first || len(written) > 0 {
		// Whoever dies before this writes the same files again: no step has started in between.
		err = writeRecord(root, record, was)
	}
	return written, err
}

// readRecord reads what was written for a run: path to checksum. first says that there is no record yet.
func readRecord(root *os.Root, record string, files map[string]string) (was map[string]string, first bool, err error) {
	text, err := readOwn(root, record)
	was = make(map[string]string, len(files))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return was, true, nil
	case err != nil:
		return nil, false, fmt.Errorf("read what was prepared: %w", err)
	case len(text) == 0: // by a version that only kept that all of them were written
		for name, text := range files {
			was[name] = sumOf(text)
		}
		return was, true, nil
	}
	if err := json.Unmarshal(text, &was); err != nil {
		return nil, false, fmt.Errorf("read what was prepared: %w", err)
	}
	return was, false, nil
}

// writeRecord replaces the record as a whole: a half one would be worse than none.
func writeRecord(root *os.Root, record string, was map[string]string) error {
	if err := root.WriteFile(record+".new", schema.Marshal(was), fileMode); err != nil {
		return fmt.Errorf("keep what was prepared: %w", err)
	}
	if err := root.Rename(record+".new", record); err != nil {
		return fmt.Errorf("keep what was prepared: %w", err)
	}
	return nil
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func writeFile(root *os.Root, name, text string) error {
	local := filepath.FromSlash(name)
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o755); err != nil {
			return fmt.Errorf("make the folder of %s: %w", name, err)
		}
	}
	mode := fs.FileMode(fileMode)
	if strings.HasPrefix(text, "#!") {
		mode = programMode
	}
	if info, err := root.Lstat(local); err == nil && otherNames(info) {
		if err := root.Remove(local); err != nil { // what has other names, maybe outside, is not written through this one
			return fmt.Errorf("replace %s: %w", name, err)
		}
	}
	if err := root.WriteFile(local, []byte(text), mode); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if mode == programMode { // the file may have been there as something else
		if err := root.Chmod(local, mode); err != nil {
			return fmt.Errorf("make %s a program: %w", name, err)
		}
	}
	return nil
}

func otherNames(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && st.Nlink > 1
}

// Listing is what stands in a workspace: regular files by slash-separated path.
type Listing map[string]Entry

// Entry is a file as a listing sees it.
type Entry struct {
	Size    int64
	ModTime int64 // nanoseconds since 1970
}

// Scan lists the regular files of a workspace. Files that come and go meanwhile may be
// missing; links are not followed.
func Scan(dir string) (Listing, error) {
	list := Listing{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if rel == schema.WorkspacePrivate {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // it went meanwhile
		}
		list[filepath.ToSlash(rel)] = Entry{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the workspace: %w", err)
	}
	return list, nil
}

// Change is a file that was written since the last look.
type Change struct {
	Path    string
	Size    int64
	Created bool
}

// Tracker tells what changed in workspaces. Steps that run side by side in one workspace
// share what is known of it, so that each change is told once.
type Tracker struct {
	mu    sync.Mutex
	known map[string]*tracked // by folder
}

type tracked struct {
	mu    sync.Mutex
	list  Listing
	users int
}

// Begin starts to follow a workspace, or joins who follows it already. Each Begin that
// succeeds has its End.
func (t *Tracker) Begin(dir string) error {
	t.mu.Lock()
	if t.known == nil {
		t.known = map[string]*tracked{}
	}
	w := t.known[dir]
	if w == nil {
		w = &tracked{}
		t.known[dir] = w
	}
	w.users++
	t.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list != nil {
		return nil
	}
	list, err := Scan(dir)
	if err != nil {
		t.End(dir)
		return err
	}
	w.list = list
	return nil
}

// End stops following.
func (t *Tracker) End(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.known[dir]; w != nil {
		if w.users--; w.users == 0 {
			delete(t.known, dir)
		}
	}
}

// Known tells that files were written by somebody else than a step: they are not among the
// changes. It does nothing while nobody follows the workspace.
func (t *Tracker) Known(dir string, paths []string) {
	t.mu.Lock()
	w := t.known[dir]
	t.mu.Unlock()
	if w == nil || len(paths) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		return
	}
	for _, name := range paths {
		if info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err == nil && info.Mode().IsRegular() {
			w.list[name] = Entry{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
		}
	}
}

// Changes lists what was created or written since the last look, by path. It is called
// between Begin and End.
func (t *Tracker) Changes(dir string) ([]Change, error) {
	t.mu.Lock()
	w := t.known[dir]
	t.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	after, err := Scan(dir)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for name, e := range after {
		old, there := w.list[name]
		if !there || old != e {
			changes = append(changes, Change{Path: name, Size: e.Size, Created: !there})
		}
	}
	w.list = after
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes, nil
}
