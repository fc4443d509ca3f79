package workspace

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

// Options configures a Keeper. All but Quota and Latest are required.
type Options struct {
	Store   *snapshot.Store
	DataDir string // holds workspaces/ and workspace-state/
	Quota   snapshot.Quota
	Logger  *slog.Logger
	// Latest reads a session's latest snapshot; "" if there is none. It is called before a folder
	// is restored: a step that has just ended here may have made the visit's snapshot outdated.
	// Without Latest, the visit's snapshot is used.
	Latest func(ctx context.Context, sessionID string) (string, error)
}

// Keeper keeps the workspaces of the sessions whose steps run on this host. It brings each to the
// session's latest snapshot before a step starts, and saves it after an attempt has ended.
//
// For each attempt: [Keeper.Enter], or [Keeper.Return] if its program already runs; then
// [Stay.Save], once, when it has ended; and [Stay.Leave] in any case.
type Keeper struct {
	o Options

	mu   sync.Mutex
	held map[string]*held // by session
	idle []string         // sessions without stays, the latest last
}

// idleKept is how many idle workspaces stay in memory, so that their list of files need not be read
// again.
const idleKept = 32

// held is a workspace on this host.
type held struct {
	session string
	dir     string
	folder  *snapshot.Folder
	stays   int // under Keeper.mu

	entering chan struct{} // one at a time brings it to the right snapshot
	saving   chan struct{} // one at a time saves it and records that

	mu       sync.Mutex
	working  int    // stays whose programs may be writing
	recorded string // the snapshot in the session's log
}

// NewKeeper makes a keeper.
func NewKeeper(o Options) *Keeper { return &Keeper{o: o, held: map[string]*held{}} }

// Visit says what a workspace is entered for.
type Visit struct {
	SessionID string
	RunID     string
	Snapshot  string            // the session's latest, from store.RunPlan; "" if there is none
	Files     map[string]string // of the plan
}

// Stay is an attempt's time in a workspace.
type Stay struct {
	Dir      string         // absolute
	Restored bool           // whether the workspace had to be restored
	Stats    snapshot.Stats // of the restore

	k       *Keeper
	h       *held
	visit   Visit
	working bool
	left    bool
}

// Enter makes the workspace ready for a step. It restores the folder if it is not at the session's latest snapshot; if
// it is, that costs well under a millisecond. While another step of the session works here, the folder is taken as it
// is. Then the plan's files are written, as by [Prepare].
//
// An error of [schema.CodeUnavailable] comes from the store, and is worth another try; any other says why this
// workspace is not available. After an error there is no stay to end.
func (k *Keeper) Enter(ctx context.Context, v Visit) (*Stay, error) {
	s, err := k.stay(v)
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		s.Leave()
		return nil, err
	}
	return s, nil
}

// Return takes up the stay of an attempt whose program is already running, and touches nothing.
func (k *Keeper) Return(v Visit) (*Stay, error) {
	s, err := k.stay(v)
	if err == nil {
		s.work()
	}
	return s, err
}

// At says which snapshot a session's folder is at; "" for none.
func (k *Keeper) At(sessionID string) string {
	k.mu.Lock()
	h := k.held[sessionID]
	k.mu.Unlock()
	if h != nil {
		return h.folder.Position().At
	}
	return snapshot.ReadPosition(schema.WorkspaceDir(k.o.DataDir, sessionID), snapshot.StateDir(k.o.DataDir, sessionID)).At
}

func (k *Keeper) stay(v Visit) (*Stay, error) {
	dir, err := filepath.Abs(schema.WorkspaceDir(k.o.DataDir, v.SessionID))
	if err != nil {
		return nil, fmt.Errorf("find the workspace: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[v.SessionID]
	if h == nil {
		h = &held{
			session: v.SessionID, dir: dir, folder: snapshot.NewFolder(dir, snapshot.StateDir(k.o.DataDir, v.SessionID)),
			entering: make(chan struct{}, 1), saving: make(chan struct{}, 1),
		}
		k.held[v.SessionID] = h
	}
	k.idle = slices.DeleteFunc(k.idle, func(id string) bool { return id == v.SessionID })
	h.stays++
	return &Stay{Dir: dir, k: k, h: h, visit: v}, nil
}

// Leave ends the stay. It may be called again.
func (s *Stay) Leave() {
	k := s.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	s.h.mu.Lock()
	if s.working {
		s.h.working--
	}
	s.h.mu.Unlock()
	if s.h.stays--; s.h.stays > 0 {
		return
	}
	k.idle = append(k.idle, s.h.session)
	if len(k.idle) > idleKept {
		delete(k.held, k.idle[0])
		k.idle = k.idle[1:]
	}
}

// work marks that a program may be writing from here on.
func (s *Stay) work() {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.working == 0 { // otherwise it is known here, and may be newer than what this caller has read
		s.h.recorded = s.visit.Snapshot
	}
	s.h.working++
	s.working = true
}

// others reports whether programs of other stays may be writing.
func (s *Stay) others() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.working {
		return s.h.working > 1
	}
	return s.h.working > 0
}

func (s *Stay) enter(ctx context.Context) error {
	if err := take(ctx, s.h.entering); err != nil {
		return err
	}
	defer func() { <-s.h.entering }()
	// Any other stay by now has its workspace, or waits for this lock.
	p := s.h.folder.Position()
	if p.At != s.visit.Snapshot && !s.others() && s.k.o.Latest != nil {
		latest, err := s.k.o.Latest(ctx, s.visit.SessionID)
		if err != nil {
			if ctx.Err() == nil && schema.CodeOf(err) == schema.CodeInternal {
				err = schema.Wrap(schema.CodeUnavailable, err, "the latest snapshot cannot be read")
			}
			return err
		}
		s.visit.Snapshot = latest
	}
	if s.visit.Snapshot != "" && p.At != s.visit.Snapshot && !s.others() {
		stats, err := s.k.o.Store.Restore(ctx, s.h.folder, s.visit.Snapshot)
		if err != nil {
			return err
		}
		s.Restored, s.Stats = true, stats
		s.k.o.Logger.Info("workspace restored", "session_id", s.visit.SessionID, "run_id", s.visit.RunID, "snapshot", s.visit.Snapshot,
			"files", stats.Regular, "written", stats.Written, "removed", stats.Removed, "took", stats.Took)
		p = s.h.folder.Position()
	}
	if err := s.prepare(&p); err != nil {
		return err
	}
	s.work()
	return nil
}

func take(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
