// Package workspace keeps the folder in which a session's steps work: it puts the plan's
// files there and tells what a step changed. It never reads or writes outside of it,
// whatever links it finds.
//
// Only activities import it.
package workspace

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/schema"
)

const (
	dirMode     = 0o700
	fileMode    = 0o644
	programMode = 0o755
)

// Prepare makes the folder, if it is not there, and writes a plan's files into it, before
// the first step of a run. Once that is done, doing it again changes nothing: the files are
// the steps' by then.
func Prepare(dir, runID string, files map[string]string) error {
	done := filepath.Join(dir, schema.WorkspacePrivate, "prepared-"+runID)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.MkdirAll(schema.WorkspaceTemp(dir), dirMode); err != nil {
		return fmt.Errorf("make the workspace: %w", err)
	}
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	if err := os.WriteFile(done, nil, fileMode); err != nil {
		return fmt.Errorf("make the workspace: %w", err)
	}
	return nil
}

func writeFiles(dir string, files map[string]string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the workspace: %w", err)
	}
	defer root.Close()
	for name, text := range files {
		if parent := path.Dir(name); parent != "." {
			if err := root.MkdirAll(filepath.FromSlash(parent), 0o755); err != nil {
				return fmt.Errorf("make the folder of %s: %w", name, err)
			}
		}
		mode := fs.FileMode(fileMode)
		if strings.HasPrefix(text, "#!") {
			mode = programMode
		}
		if err := root.WriteFile(filepath.FromSlash(name), []byte(text), mode); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
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
