package workspace

import (
	"crypto/rand"
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
	"syscall"

	"github.com/holdfast/holdfast/schema"
)

const (
	dirMode     = 0o700
	fileMode    = 0o644
	programMode = 0o755
)

// Prepare makes the folder, if it does not exist, and writes a plan's files into it for a run,
// before a step starts. It writes a file only if its text differs from what Prepare last wrote for
// the same run: in between, the files belong to the steps. It returns the paths that it wrote.
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
		// After a crash before this, the same files are written again: no step has started in
		// between.
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
		return nil, false, fmt.Errorf("read the record of prepared files: %w", err)
	case len(text) == 0: // by a version that only recorded that all of them were written
		for name, text := range files {
			was[name] = sumOf(text)
		}
		return was, true, nil
	}
	if err := json.Unmarshal(text, &was); err != nil {
		return nil, false, fmt.Errorf("read the record of prepared files: %w", err)
	}
	return was, false, nil
}

// writeRecord replaces the record atomically: half of one would be worse than none. Each writer has
// its own file until then.
func writeRecord(root *os.Root, record string, was map[string]string) error {
	fresh := record + "." + rand.Text() + ".new"
	err := root.WriteFile(fresh, schema.Marshal(was), fileMode)
	if err == nil {
		err = root.Rename(fresh, record)
	}
	if err != nil {
		_ = root.Remove(fresh)
		return fmt.Errorf("save the record of prepared files: %w", err)
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
		if err := root.Remove(local); err != nil { // the file may have other names, perhaps outside: do not write through this one
			return fmt.Errorf("replace %s: %w", name, err)
		}
	}
	if err := root.WriteFile(local, []byte(text), mode); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if mode == programMode { // an existing file may have had another mode
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

// Count counts the regular files in a workspace: what an ended run leaves to look at. It does not
// follow links.
func Count(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			return nil // it was removed meanwhile, or is the program's secret
		case err != nil:
			return err
		case d.IsDir() && name == filepath.Join(dir, schema.WorkspacePrivate):
			return fs.SkipDir
		case d.Type().IsRegular():
			n++
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("count the files of the workspace: %w", err)
	}
	return n, nil
}
