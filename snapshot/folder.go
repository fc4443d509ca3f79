package snapshot

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/holdfast/holdfast/schema"
)

// StateDir is where a host keeps what it knows about a session's workspace. It is outside the
// workspace, where a step could change it.
func StateDir(dataDir, sessionID string) string {
	return filepath.Join(dataDir, "workspace-state", sessionID)
}

// Folder is a workspace on this host, with what is known about it: which snapshot it is at, and
// what its files looked like then. It is safe for concurrent use; saves and restores take turns.
type Folder struct {
	dir   string
	state string

	turn sync.Mutex // held by a save or a restore

	mu    sync.Mutex
	read  bool
	at    Position
	known []fileState // nil until needed
}

// NewFolder describes the workspace at dir. The folder state holds what is known about it.
func NewFolder(dir, state string) *Folder { return &Folder{dir: dir, state: state} }

// Position says which snapshot a folder is at.
type Position struct {
	At       string    `json:"at"`  // the snapshot that was last saved or restored; "" for none
	Dev      uint64    `json:"dev"` // of the folder: a folder that replaced it is at no snapshot
	Ino      uint64    `json:"ino"`
	Prepared *Prepared `json:"prepared,omitempty"`
}

// fileState is what a file looked like when its content was read, so that it need not be read again.
type fileState struct {
	Entry

	Dev, Ino uint64
	Ctime    int64 // 0 if it may have changed unnoticed since
}

type index struct {
	Of    string // the snapshot
	Files []fileState
}

const (
	positionFile = "at"
	indexFile    = "index"
)

// Position says where the folder is. It takes a few microseconds.
func (f *Folder) Position() Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.read {
		f.at, f.read = readPosition(f.state), true
	}
	if f.at.At == "" {
		return Position{}
	}
	dir, err := openDir(f.dir)
	if err != nil {
		return Position{}
	}
	defer dir.Close()
	if s, err := statFile(dir); err != nil || s.Dev != f.at.Dev || s.Ino != f.at.Ino {
		return Position{}
	}
	return f.at
}

// ReadPosition says where a folder is that another process may be working on.
func ReadPosition(dir, state string) Position { return NewFolder(dir, state).Position() }

func readPosition(state string) Position {
	text, err := os.ReadFile(filepath.Join(state, positionFile))
	var p Position
	if err != nil || json.Unmarshal(text, &p) != nil || !ValidDigest(p.At) {
		return Position{}
	}
	return p
}

// files returns what is known about the folder's files, for the snapshot that it is at.
func (f *Folder) files() []fileState {
	p := f.Position()
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.At == "" {
		f.known = nil
		return nil
	}
	if f.known == nil {
		file, err := os.Open(filepath.Join(f.state, indexFile))
		if err != nil {
			return nil
		}
		defer file.Close()
		var i index
		if gob.NewDecoder(file).Decode(&i) != nil || i.Of != p.At {
			return nil
		}
		f.known = i.Files
	}
	return f.known
}

// clearPosition removes the folder's position, because the folder is about to change.
func (f *Folder) clearPosition() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.read, f.known = Position{}, true, nil
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return fmt.Errorf("store the workspace's position: %w", err)
	}
	if err := os.Remove(filepath.Join(f.state, positionFile)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("store the workspace's position: %w", err)
	}
	return nil
}

// setPosition stores the folder's position. It writes the position last: without it, the rest means
// nothing.
func (f *Folder) setPosition(p Position, files []fileState) error {
	err := os.MkdirAll(f.state, 0o700)
	if err == nil {
		err = replace(filepath.Join(f.state, indexFile), func(file *os.File) error {
			return gob.NewEncoder(file).Encode(index{p.At, files})
		})
	}
	if err == nil {
		err = replace(filepath.Join(f.state, positionFile), func(file *os.File) error {
			_, err := file.Write(schema.Marshal(p))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("store the workspace's position: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.read, f.known = p, true, files
	return nil
}

// Forget drops what can be read again from memory.
func (f *Folder) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = nil
}

func replace(path string, write func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = write(file)
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
