package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// A host's name belongs to one data folder at a time: sessions send their steps to the name, and would otherwise find
// some of their files in one folder and some in another. Postgres records which folder has the name, and the worker
// renews that.
const (
	folderFile = "folder-id"
	claimFile  = "host-claim"
	// hostBeat is how often a worker renews its name, several times in a [store.HostLease].
	hostBeat  = 3 * time.Second
	hostLeave = 2 * time.Second
)

// hostName is a worker's hold on the name of its host.
type hostName struct {
	holder store.HostHolder
	dir    string
	store  *store.Store
	log    *slog.Logger
	all    sync.WaitGroup
}

func newHostName(o *Options) (*hostName, error) {
	folder, err := folderID(o.DataDir)
	if err != nil {
		return nil, err
	}
	place, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	machine, _ := os.Hostname() // "" does no harm
	return &hostName{
		holder: store.HostHolder{Host: o.Host, Folder: folder, Holder: rand.Text(), Place: fmt.Sprintf("the data folder %s on %s, pid %d", place, machine, os.Getpid())},
		dir:    o.DataDir, store: o.Store, log: o.Logger,
	}, nil
}

// folderID identifies a folder and tells it from any other, including a copy of itself: a copy includes the id file,
// but not the folder's inode or, on another machine, the boot id.
func folderID(dir string) (string, error) {
	name := filepath.Join(dir, folderFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(rand.Text() + "\n")
		if err = os.WriteFile(name+".new", text, 0o600); err == nil { // nobody else writes it: the folder is held
			err = os.Rename(name+".new", name)
		}
	}
	if err != nil {
		return "", fmt.Errorf("name the data folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("name the data folder: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id += fmt.Sprintf(" %d:%d", s.Dev, s.Ino)
	}
	return id + " " + bootID(), nil
}

// bootID identifies this boot of this machine.
func bootID() string {
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		return strings.TrimSpace(string(text))
	}
	machine, _ := os.Hostname()
	return machine
}

// claimText is what the claim file says when this folder has this name.
func (n *hostName) claimText() string { return n.holder.Host + " " + n.holder.Folder + "\n" }

// wasOurs reports whether this very folder had the name when it was last in use: then its running steps may be
// continued while Postgres is down.
func (n *hostName) wasOurs() bool {
	text, err := os.ReadFile(filepath.Join(n.dir, claimFile))
	return err == nil && string(text) == n.claimText()
}

// claim returns when the name is ours. It waits while Postgres is down, and until it is certain that the worker
// which had the name has ended; if that one turns out to be alive, claim fails with [schema.CodeConflict].
func (n *hostName) claim(ctx context.Context) error {
	var (
		seen time.Time
		said string
	)
	for {
		claim, err := n.store.ClaimHost(ctx, n.holder)
		switch {
		case err != nil && (schema.CodeOf(err) != schema.CodeUnavailable || ctx.Err() != nil):
			return err
		case err != nil:
			if text := err.Error(); text != said {
				n.log.WarnContext(ctx, "the host's name cannot be claimed yet", logs.Err(err))
				said = text
			}
		case claim.Taken:
			return n.remember()
		case !seen.IsZero() && claim.Seen.After(seen):
			return schema.Errorf(schema.CodeConflict, "the host name %q is in use by another worker: %s; a name belongs to one data folder: give this one another (setting HOLDFAST_HOST, or remove %s from a copied folder)",
				n.holder.Host, claim.Other.Place, filepath.Join(n.dir, "host"))
		case seen.IsZero() && !claim.Seen.IsZero():
			seen = claim.Seen
			n.log.InfoContext(ctx, "waiting for the worker that had this host's name", slog.String("host", n.holder.Host), slog.String("who", claim.Other.Place))
		}
		if !wait.For(ctx, dialWait) {
			return ctx.Err()
		}
	}
}

func (n *hostName) remember() error {
	if n.wasOurs() {
		return nil // written; a disk that has filled up must not keep a worker from its steps
	}
	name := filepath.Join(n.dir, claimFile)
	err := os.WriteFile(name+".new", []byte(n.claimText()), 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("keep the host's name: %w", err)
	}
	return nil
}

// keep renews the name until ctx ends. It calls fatal if somebody else has taken it, or if a newer release has
// changed the database so that this one cannot work with it: then this worker must not go on.
func (n *hostName) keep(ctx context.Context, fatal func(error)) {
	n.all.Go(func() {
		for wait.For(ctx, hostBeat) {
			err := n.store.KeepHost(ctx, n.holder)
			if err == nil {
				err = n.store.SchemaReady(ctx)
			}
			switch schema.CodeOf(err) {
			case schema.CodeConflict, schema.CodeUnsupported:
				fatal(err)
				return
			default: // Postgres is down, so others hear of nobody either
			}
		}
	})
}

// leave gives the name back, once keep has ended.
func (n *hostName) leave(ctx context.Context) {
	n.all.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hostLeave)
	defer cancel()
	if err := n.store.LeaveHost(ctx, n.holder); err != nil {
		n.log.DebugContext(ctx, "the host's name stays until it is over", logs.Err(err))
	}
}
