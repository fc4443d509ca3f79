package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Environment variables that say where the binaries are. They come before any other place.
const (
	EnvTemporalBin = "HOLDFAST_TEMPORAL_BIN"
	EnvPostgresDir = "HOLDFAST_POSTGRES_DIR"
)

// ErrNotBuilt says that a binary the embedded stack needs is in none of the expected places.
var ErrNotBuilt = errors.New("run `make build`")

// FindTemporal returns the path of the temporal binary: explicit, else $HOLDFAST_TEMPORAL_BIN, else "temporal" next to
// this executable, else bin/temporal of the module around the working directory (where test binaries run).
func FindTemporal(explicit string) (string, error) {
	return find("temporal", "temporal", explicit, EnvTemporalBin)
}

// FindPostgres returns the folder that holds Postgres' bin, lib and share: explicit, else $HOLDFAST_POSTGRES_DIR, else
// "postgres" next to this executable, else bin/postgres of the module around the working directory.
func FindPostgres(explicit string) (string, error) {
	return find("postgres", filepath.Join("postgres", "bin", "postgres"), explicit, EnvPostgresDir)
}

// find looks for name in each place in turn. probe is the file, relative to the place, that must be executable; for
// Postgres it is deeper than the returned folder.
func find(name, probe, explicit, env string) (string, error) {
	inside, err := filepath.Rel(name, probe)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	for _, named := range []struct{ what, path string }{{"the option", explicit}, {env, os.Getenv(env)}} {
		if named.path == "" {
			continue
		}
		if !executable(filepath.Join(named.path, inside)) {
			return "", fmt.Errorf("find %s: %s names %q, and %q there is not an executable file",
				name, named.what, named.path, inside)
		}
		return filepath.Abs(named.path)
	}
	for _, dir := range besides() {
		if executable(filepath.Join(dir, probe)) {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("find %s: not next to the executable, and %s is not set: %w", name, env, ErrNotBuilt)
}

func besides() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			exe = target
		}
		dirs = append(dirs, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		for dir := wd; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				dirs = append(dirs, filepath.Join(dir, "bin"))
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return dirs
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
