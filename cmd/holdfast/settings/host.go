package settings

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
)

const hostFile = "host"

// OpenHost makes the data dir and settles Host: the setting, else the name in the data dir. The
// name is made once, from the hostname and a few random letters. A host is whoever holds
// this data dir: a laptop whose hostname changes with the network keeps its sessions.
func (s *Storage) OpenHost() error {
	if err := disk.Private(s.DataDir); err != nil {
		return fmt.Errorf("the data dir cannot be used: %w", err)
	}
	if s.Host != "" {
		return nil
	}
	path := filepath.Join(s.DataDir, hostFile)
	for range 3 {
		name, err := readHost(path)
		if err == nil {
			s.Host = name
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := writeHost(path, newHost()); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("the host's name cannot be kept: %w", err)
		}
	}
	return fmt.Errorf("the host's name cannot be kept in %s", path)
}

func readHost(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(text))
	if !hostPattern.MatchString(name) {
		return "", fmt.Errorf("%s holds %q, which is not a host name; remove the file to get a new one", path, name)
	}
	return name, nil
}

// writeHost writes the whole file or nothing. If two processes start at the same time, one
// writes it and both read it.
func writeHost(path, name string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".host-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(name + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}

func newHost() string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	name, _, _ = strings.Cut(name, ".")
	if len(name) > 40 {
		name = name[:40]
	}
	if !hostPattern.MatchString(name) {
		name = "host"
	}
	return name + "-" + strings.ToLower(rand.Text()[:5])
}

func hostShown(dataDir string) string {
	if name, err := readHost(filepath.Join(dataDir, hostFile)); err == nil {
		return name
	}
	return "made at the first start"
}
