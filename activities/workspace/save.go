package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

const (
	// How long a save waits for the blob store before the attempt is recorded without a snapshot.
	storePatience  = 30 * time.Second
	storeFirstWait = 100 * time.Millisecond
	storeLongest   = 5 * time.Second

	maxRecord = 16 << 20 // of what was prepared; a plan has 1 MiB
)

// Saved is what an attempt has left behind.
type Saved struct {
	snapshot.Saved

	// Err says why there is no snapshot; Digest is "" then. If [snapshot.Exceeds] reports it, the
	// workspace is over its quota and the attempt has failed, with Err's message. Otherwise the
	// store was down or refused: nothing is lost as long as this host is there, and the next save
	// catches up.
	Err error

	store *snapshot.Store
	held  time.Time
}

// Hold keeps what was saved from being collected while its record waits. Call it before each try to
// record; it fails with [snapshot.ErrCollected] if that is too late.
func (s *Saved) Hold(ctx context.Context) error {
	if s.Digest == "" || time.Since(s.held) < snapshot.HoldAfter {
		return nil
	}
	if err := s.store.Hold(ctx, s.Digest); err != nil {
		return err
	}
	s.held = time.Now()
	return nil
}

// Save saves the workspace after an attempt has ended, and calls record once with the result, to
// record the end of the attempt with it. It calls record again only after [snapshot.ErrCollected],
// when what was saved no longer exists. Until record returns, no other attempt of the session is
// saved or recorded, so that the last recorded snapshot is the newest. It returns what record
// returns, or the cause of ctx if that ended before Save had its turn.
func (l *Lease) Save(ctx context.Context, record func(*Saved) error) error {
	if err := lock(ctx, l.ws.saving); err != nil {
		return err
	}
	defer func() { <-l.ws.saving }()
	saved := l.save(ctx)
	err := record(&saved)
	for ; errors.Is(err, snapshot.ErrCollected); err = record(&saved) {
		saved = l.save(ctx)
	}
	if err != nil {
		return err
	}
	if saved.Err == nil {
		l.ws.mu.Lock()
		l.ws.recorded = saved.Digest
		l.ws.mu.Unlock()
	}
	return nil
}

func (l *Lease) save(ctx context.Context) Saved {
	l.ws.mu.Lock()
	base := l.ws.recorded
	l.ws.mu.Unlock()
	prepared, err := l.prepared()
	if err != nil {
		l.manager.o.Logger.Warn("the record of prepared files is unreadable", "session_id", l.request.SessionID, "run_id", l.request.RunID, "error", err)
	}
	o := snapshot.SaveOptions{Quota: l.manager.o.Quota, Busy: l.othersWorking(), Prepared: prepared, Base: base}
	deadline := time.Now().Add(storePatience)
	for wait := storeFirstWait; ; wait = min(2*wait, storeLongest) {
		began := time.Now()
		saved, err := l.manager.o.Store.Save(ctx, l.ws.folder, o)
		if err == nil {
			l.manager.o.Logger.Debug("workspace saved", "session_id", l.request.SessionID, "run_id", l.request.RunID, "snapshot", saved.Digest, "files", saved.Stats.Regular,
				"read", saved.Stats.Read, "uploaded", saved.Stats.Uploaded, "sent_bytes", saved.Stats.Sent, "took", saved.Stats.Took)
			if len(saved.Stats.Denied) > 0 {
				l.manager.o.Logger.Warn("files of a workspace cannot be read", "session_id", l.request.SessionID, "count", len(saved.Stats.Denied), "first", saved.Stats.Denied[0])
			}
			return Saved{Saved: saved, store: l.manager.o.Store, held: began}
		}
		if schema.CodeOf(err) == schema.CodeUnavailable && time.Now().Add(wait).Before(deadline) {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
				continue
			}
		}
		if !snapshot.Exceeds(err) {
			l.manager.o.Logger.Error("workspace not saved", "session_id", l.request.SessionID, "run_id", l.request.RunID, "error", err)
		}
		saved.Digest, saved.Changes = "", nil
		return Saved{Saved: saved, Err: err}
	}
}

// prepare writes the plan's files to the workspace. Another host may have decided which of them
// were already written for this run; then that comes with the snapshot. A fork's own run continues
// from what was prepared in the session that it was forked from.
func (l *Lease) prepare(p *snapshot.Position) error {
	if err := l.carry(p.Prepared); err != nil {
		return fmt.Errorf("save the record of prepared files: %w", err)
	}
	_, err := Prepare(l.Dir, l.request.RunID, l.request.Files)
	return err
}

func (l *Lease) carry(p *snapshot.Prepared) error {
	if p == nil || p.Run != l.request.RunID && p.Session == l.request.SessionID { // an earlier run: this one starts from its plan
		p = nil
	}
	root, err := os.OpenRoot(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Prepare makes it
	}
	if err != nil {
		return err
	}
	defer root.Close()
	record := recordOf(l.request.RunID)
	if !l.Restored {
		if _, err := root.Lstat(record); err == nil || p == nil {
			return nil // what this host has recorded is the newest
		}
	}
	if p == nil {
		if err := root.Remove(record); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := root.MkdirAll(schema.WorkspacePrivate, dirMode); err != nil {
		return err
	}
	return writeRecord(root, record, p.Files)
}

// prepared reads what was prepared for this run, so that it moves with the workspace.
func (l *Lease) prepared() (*snapshot.Prepared, error) {
	root, err := os.OpenRoot(l.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	text, err := readOwn(root, recordOf(l.request.RunID))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return nil, nil //nolint:nilnil // nothing was, or by a version that kept no list
	}
	if err != nil {
		return nil, err
	}
	p := &snapshot.Prepared{Session: l.request.SessionID, Run: l.request.RunID}
	if err := json.Unmarshal(text, &p.Files); err != nil {
		return nil, err
	}
	return p, nil
}

// readOwn reads one of our files in a folder where steps can put anything: reading a pipe would
// never end.
func readOwn(root *os.Root, name string) ([]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, errors.Join(err, fmt.Errorf("%s is not the file that was written there", name))
	}
	return io.ReadAll(io.LimitReader(file, maxRecord))
}

func recordOf(runID string) string { return filepath.Join(schema.WorkspacePrivate, "prepared-"+runID) }
