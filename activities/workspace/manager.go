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

// Options configures a Manager. All but Quota and Latest are required.
type Options struct {
	Store   *snapshot.Store
	DataDir string // holds workspaces/ and workspace-state/
	Quota   snapshot.Quota
	Logger  *slog.Logger
	// Latest reads a session's latest snapshot; "" if there is none. It is called before a folder
	// is restored: a step that has just ended here may have made the request's snapshot outdated.
	// Without Latest, the request's snapshot is used.
	Latest func(ctx context.Context, sessionID string) (string, error)
}

// Manager manages the workspaces of the sessions whose steps run on this host. It brings each to the
// session's latest snapshot before a step starts, and saves it after an attempt has ended.
//
// For each attempt: [Manager.Acquire], or [Manager.Reacquire] if its program already runs; then
// [Lease.Save], once, when it has ended; and [Lease.Release] in any case.
type Manager struct {
	o Options

	mu         sync.Mutex
	workspaces map[string]*workspace // by session
	idle       []string              // sessions without leases, the latest last
}

// idleKept is how many idle workspaces stay in memory, so that their list of files need not be read
// again.
const idleKept = 32

// workspace is a workspace on this host.
type workspace struct {
	session string
	dir     string
	folder  *snapshot.Folder
	leases  int // under Manager.mu

	acquiring chan struct{} // one at a time brings it to the right snapshot
	saving    chan struct{} // one at a time saves it and records that

	mu       sync.Mutex
	working  int    // leases whose programs may be writing
	recorded string // the snapshot in the session's log
}

// NewManager makes a manager.
func NewManager(o Options) *Manager { return &Manager{o: o, workspaces: map[string]*workspace{}} }

// Request says what a workspace is acquired for.
type Request struct {
	SessionID string
	RunID     string
	Snapshot  string            // the session's latest, from store.RunPlan; "" if there is none
	Files     map[string]string // of the plan
}

// Lease is an attempt's use of a workspace.
type Lease struct {
	Dir      string         // absolute
	Restored bool           // whether the workspace had to be restored
	Stats    snapshot.Stats // of the restore

	manager  *Manager
	ws       *workspace
	request  Request
	working  bool
	released bool
}

// Acquire makes the workspace ready for a step. It restores the folder if it is not at the session's latest snapshot; if
// it is, that costs well under a millisecond. While another step of the session works here, the folder is taken as it
// is. Then the plan's files are written, as by [Prepare].
//
// An error of [schema.CodeUnavailable] comes from the store, and is worth another try; any other says why this
// workspace is not available. After an error there is no lease to release.
func (m *Manager) Acquire(ctx context.Context, req Request) (*Lease, error) {
	l, err := m.lease(req)
	if err != nil {
		return nil, err
	}
	if err := l.acquire(ctx); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// Reacquire makes a lease for an attempt whose program is already running, and touches nothing.
func (m *Manager) Reacquire(req Request) (*Lease, error) {
	l, err := m.lease(req)
	if err == nil {
		l.startWorking()
	}
	return l, err
}

// CurrentSnapshot says which snapshot a session's folder is at; "" for none.
func (m *Manager) CurrentSnapshot(sessionID string) string {
	m.mu.Lock()
	ws := m.workspaces[sessionID]
	m.mu.Unlock()
	if ws != nil {
		return ws.folder.Position().At
	}
	return snapshot.ReadPosition(schema.WorkspaceDir(m.o.DataDir, sessionID), snapshot.StateDir(m.o.DataDir, sessionID)).At
}

func (m *Manager) lease(req Request) (*Lease, error) {
	dir, err := filepath.Abs(schema.WorkspaceDir(m.o.DataDir, req.SessionID))
	if err != nil {
		return nil, fmt.Errorf("find the workspace: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ws := m.workspaces[req.SessionID]
	if ws == nil {
		ws = &workspace{
			session: req.SessionID, dir: dir, folder: snapshot.NewFolder(dir, snapshot.StateDir(m.o.DataDir, req.SessionID)),
			acquiring: make(chan struct{}, 1), saving: make(chan struct{}, 1),
		}
		m.workspaces[req.SessionID] = ws
	}
	m.idle = slices.DeleteFunc(m.idle, func(id string) bool { return id == req.SessionID })
	ws.leases++
	return &Lease{Dir: dir, manager: m, ws: ws, request: req}, nil
}

// Release ends the lease. It may be called again.
func (l *Lease) Release() {
	m := l.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.released {
		return
	}
	l.released = true
	l.ws.mu.Lock()
	if l.working {
		l.ws.working--
	}
	l.ws.mu.Unlock()
	if l.ws.leases--; l.ws.leases > 0 {
		return
	}
	m.idle = append(m.idle, l.ws.session)
	if len(m.idle) > idleKept {
		delete(m.workspaces, m.idle[0])
		m.idle = m.idle[1:]
	}
}

// startWorking marks that a program may be writing from here on.
func (l *Lease) startWorking() {
	l.ws.mu.Lock()
	defer l.ws.mu.Unlock()
	if l.ws.working == 0 { // otherwise it is known here, and may be newer than what this caller has read
		l.ws.recorded = l.request.Snapshot
	}
	l.ws.working++
	l.working = true
}

// othersWorking reports whether programs of other leases may be writing.
func (l *Lease) othersWorking() bool {
	l.ws.mu.Lock()
	defer l.ws.mu.Unlock()
	if l.working {
		return l.ws.working > 1
	}
	return l.ws.working > 0
}

func (l *Lease) acquire(ctx context.Context) error {
	if err := lock(ctx, l.ws.acquiring); err != nil {
		return err
	}
	defer func() { <-l.ws.acquiring }()
	// Any other lease by now has its workspace, or waits for this lock.
	p := l.ws.folder.Position()
	if p.At != l.request.Snapshot && !l.othersWorking() && l.manager.o.Latest != nil {
		latest, err := l.manager.o.Latest(ctx, l.request.SessionID)
		if err != nil {
			if ctx.Err() == nil && schema.CodeOf(err) == schema.CodeInternal {
				err = schema.Wrap(schema.CodeUnavailable, err, "the latest snapshot cannot be read")
			}
			return err
		}
		l.request.Snapshot = latest
	}
	if l.request.Snapshot != "" && p.At != l.request.Snapshot && !l.othersWorking() {
		stats, err := l.manager.o.Store.Restore(ctx, l.ws.folder, l.request.Snapshot)
		if err != nil {
			return err
		}
		l.Restored, l.Stats = true, stats
		l.manager.o.Logger.Info("workspace restored", "session_id", l.request.SessionID, "run_id", l.request.RunID, "snapshot", l.request.Snapshot,
			"files", stats.Regular, "written", stats.Written, "removed", stats.Removed, "took", stats.Took)
		p = l.ws.folder.Position()
	}
	if err := l.prepare(&p); err != nil {
		return err
	}
	l.startWorking()
	return nil
}

func lock(ctx context.Context, ch chan struct{}) error {
	select {
	case ch <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
