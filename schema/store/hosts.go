package store

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// HostLease is how long a worker that is not heard of keeps its host's name. A worker renews it
// several times in that time.
const HostLease = 15 * time.Second

// HostHolder is a worker that has, or wants, a host's name.
type HostHolder struct {
	Host   string
	Folder string // tells the data folder from any other, and from a copy of it
	Holder string // the process
	Place  string // for people: which machine, which path
}

// HostClaim is the answer to [Store.ClaimHost].
type HostClaim struct {
	Taken bool
	// If not taken: who has the name, when it was last heard of, and whether that is so long ago that it
	// is gone.
	Other HostHolder
	Seen  time.Time
}

// ClaimHost gives a host's name to a worker if nobody has it, if its holder works in the same
// folder (whose lock shows that the holder is gone), or if the holder was not heard of for
// [HostLease] while Postgres was up.
func (s *Store) ClaimHost(ctx context.Context, h HostHolder) (HostClaim, error) {
	var claim HostClaim
	err := s.pool.QueryRow(ctx, `INSERT INTO worker_hosts AS w (host, folder, holder, place) VALUES ($1, $2, $3, $4)
		ON CONFLICT (host) DO UPDATE SET folder = EXCLUDED.folder, holder = EXCLUDED.holder, place = EXCLUDED.place, since = now(), seen_at = now()
		  WHERE w.folder = EXCLUDED.folder OR w.holder = EXCLUDED.holder
		     OR greatest(w.seen_at, pg_postmaster_start_time()) < now() - make_interval(secs => $5)
		RETURNING true`, clean(h.Host), clean(h.Folder), clean(h.Holder), clean(h.Place), HostLease.Seconds()).Scan(&claim.Taken)
	if notFoundIfNoRows(err, nil) == nil && !claim.Taken {
		err = s.pool.QueryRow(ctx, `SELECT host, folder, holder, place, seen_at FROM worker_hosts WHERE host = $1`, clean(h.Host)).
			Scan(&claim.Other.Host, &claim.Other.Folder, &claim.Other.Holder, &claim.Other.Place, &claim.Seen)
		if notFoundIfNoRows(err, nil) == nil {
			err = nil // the holder has just given it back
		}
	}
	return claim, failed("claim a host's name", err)
}

// KeepHost says that a worker is alive. [schema.CodeConflict] says that another one has taken its
// host's name.
func (s *Store) KeepHost(ctx context.Context, h HostHolder) error {
	tag, err := s.pool.Exec(ctx, `UPDATE worker_hosts SET seen_at = now() WHERE host = $1 AND holder = $2`, clean(h.Host), clean(h.Holder))
	if err != nil {
		return failed("keep a host's name", err)
	}
	if tag.RowsAffected() > 0 {
		return nil
	}
	claim, err := s.ClaimHost(ctx, h) // the row may be missing because an older state of the database was restored
	if err == nil && !claim.Taken {
		err = hostTaken(h.Host, claim.Other.Place)
	}
	return err
}

// LeaveHost gives a host's name back.
func (s *Store) LeaveHost(ctx context.Context, h HostHolder) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM worker_hosts WHERE host = $1 AND holder = $2`, clean(h.Host), clean(h.Holder))
	return failed("give a host's name back", err)
}

// WorkersSilent reports whether there are known workers but none of them was heard of for
// [HostLease] while Postgres was up. A worker that ended normally is no longer known.
func (s *Store) WorkersSilent(ctx context.Context) (bool, error) {
	var silent bool
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(bool_and(greatest(seen_at, pg_postmaster_start_time()) < now() - make_interval(secs => $1)), false)
		FROM worker_hosts`, HostLease.Seconds()).Scan(&silent)
	return silent, failed("look for workers", err)
}

func hostTaken(host, place string) error {
	return schema.Errorf(schema.CodeConflict, "another worker has the host name %q by now: %s", host, place)
}
