package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/snapshot"
)

// workspace is a session's workspace as it can be read from here: the folder, when this server
// has it and it is at the session's latest snapshot, or else that snapshot. Nothing that
// is reached through it can be outside, whatever the path says and wherever links point.
type workspace struct {
	root     *os.Root // nil unless it is the folder
	store    *snapshot.Store
	snapshot string // "" unless it is that
}

// workspace finds a session's workspace. It is empty while no step has run.
func (s *Service) workspace(ctx context.Context, sessionID string) (*workspace, error) {
	if _, err := s.Store.HeadSeq(ctx, sessionID); err != nil { // unknown and deleted sessions have no files
		return nil, err
	}
	latest := ""
	if s.Snapshots != nil {
		var err error
		if latest, err = s.Store.Snapshot(ctx, sessionID); err != nil {
			return nil, err
		}
	}
	dir := schema.WorkspaceDir(s.DataDir, sessionID)
	if latest != "" {
		// A step at work here is shown as it goes: the folder stays at the snapshot that the step began with.
		if p := snapshot.ReadPosition(dir, snapshot.StateDir(s.DataDir, sessionID)); p.At != latest {
			if _, err := s.Snapshots.Manifest(ctx, latest); err != nil {
				if schema.CodeOf(err) == schema.CodeNotFound { // most likely this server and the worker do not share a store
					return nil, schema.Wrap(schema.CodeUnavailable, err, "the workspace is on another host, and not in the blob store of this server")
				}
				return nil, err
			}
			return &workspace{store: s.Snapshots, snapshot: latest}, nil
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &workspace{}, nil
	}
	if err != nil {
		return nil, schema.Wrap(schema.CodeInternal, err, "the workspace could not be opened")
	}
	return &workspace{root: root}, nil
}

func (w *workspace) close() {
	if w.root != nil {
		_ = w.root.Close()
	}
}

func (s *Service) listFiles(ctx context.Context, sessionID string) (wire.FileList, error) {
	list := wire.FileList{Files: []schema.File{}}
	w, err := s.workspace(ctx, sessionID)
	if err != nil {
		return list, err
	}
	defer w.close()
	add := func(name string, size int64, modified time.Time) error {
		if len(list.Files) == maxFiles {
			list.Truncated = true
			return fs.SkipAll
		}
		list.Files = append(list.Files, schema.File{Path: name, Size: size, MediaType: MediaType(name), ModifiedAt: schema.Time{Time: modified}})
		return nil
	}
	switch {
	case w.snapshot != "":
		err = w.listSnapshot(ctx, add)
	case w.root != nil:
		err = w.listFolder(add)
	}
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return list, err
	}
	slices.SortFunc(list.Files, func(a, b schema.File) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

func (w *workspace) listFolder(add func(name string, size int64, modified time.Time) error) error {
	err := fs.WalkDir(w.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if name == "." {
				return err
			}
			return nil // it went away, or is not readable: the rest is still worth a list
		case entry.IsDir() && name != "." && strings.HasPrefix(path.Base(name), "."):
			return fs.SkipDir // a program's own: HOME, TMPDIR, caches
		case entry.IsDir() || !utf8.ValidString(name):
			return nil
		}
		info, err := w.root.Stat(name) // follows links, within the workspace
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link to outside or to nothing is no file
		}
		return add(name, info.Size(), info.ModTime())
	})
	if err != nil {
		return schema.Wrap(schema.CodeInternal, err, "the workspace could not be read")
	}
	return nil
}

func (w *workspace) listSnapshot(ctx context.Context, add func(name string, size int64, modified time.Time) error) error {
	files, err := w.store.Files(ctx, w.snapshot)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Path, ".") && strings.Contains(f.Path, "/") || strings.Contains(path.Dir(f.Path), "/.") || !utf8.ValidString(f.Path) {
			continue // as in the folder
		}
		if err := add(f.Path, f.Size, f.ModTime); err != nil {
			return err
		}
	}
	return nil
}

// openFile is a file of a workspace that is being read.
type openFile struct {
	content io.ReadSeekCloser
	size    int64
	modTime time.Time
	version string             // names exactly this content; "" when it was changed so lately that no name can be trusted
	cancel  context.CancelFunc // of what is read from the store; nil for a file of the folder
}

// open opens a file. Its content may be read for longer than ctx is alive.
func (w *workspace) open(ctx context.Context, name string) (*openFile, error) {
	switch {
	case w.snapshot != "":
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it is sent after the request was answered
		r, err := w.store.OpenFile(ctx, w.snapshot, name)
		if err != nil {
			cancel()
			if schema.CodeOf(err) == schema.CodeNotFound {
				return nil, noFile(name)
			}
			return nil, err
		}
		return &openFile{content: r, size: r.Size, modTime: r.ModTime, version: snapshotVersion(w.snapshot, name), cancel: cancel}, nil
	case w.root != nil:
		// Not blocking: a named pipe would wait for a writer.
		file, err := w.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, noFile(name) // also for what is outside, or not readable
		}
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			_ = file.Close()
			return nil, noFile(name)
		}
		return &openFile{content: file, size: info.Size(), modTime: info.ModTime(), version: fileVersion(file, info)}, nil
	default:
		return nil, noFile(name)
	}
}

// begin goes to where reading starts. It finds out whether the store can be read and the content
// is what it should be as long as the answer can still be an error.
func (f *openFile) begin(at int64) error {
	if f.cancel != nil {
		var first [1]byte
		if _, err := f.content.Seek(at, io.SeekStart); err != nil {
			return schema.Wrap(schema.CodeInternal, err, "the file could not be read")
		}
		if _, err := f.content.Read(first[:]); err != nil {
			return err
		}
	}
	if _, err := f.content.Seek(at, io.SeekStart); err != nil {
		return schema.Wrap(schema.CodeInternal, err, "the file could not be read")
	}
	return nil
}

func (f *openFile) close() {
	_ = f.content.Close()
	if f.cancel != nil {
		f.cancel()
	}
}
