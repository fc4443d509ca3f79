package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Retention says what becomes of the logs of sessions whose latest run is over. 0 is never.
type Retention struct {
	CompactAfter time.Duration // their output is merged and compressed
	ArchiveAfter time.Duration // what is merged goes to the blob store
	DeleteAfter  time.Duration // the session is deleted
	// Interval is how long to wait between two looks; a minute when 0.
	Interval time.Duration
	// CollectGrace is how long the files of a deleted session stay; [CollectGrace] when 0.
	CollectGrace time.Duration
}

const (
	retentionInterval = time.Minute
	retentionBatch    = 200 // sessions of one run
	// What is left of a deleted session's log is kept so long after the deletion: somebody may still be writing to it, or
	// want it back by hand.
	purgeGrace = 24 * time.Hour
	purgeRest  = 6 * time.Hour // at most, between two tries of what the archive does not let go
)

// retention carries a policy out. Of many workers one does so at a time, in small transactions, and after each of them
// it rests for as long as it took: others come first.
type retention struct {
	Retention

	store   *store.Store
	log     *slog.Logger
	failing bool // the last run ended with an error

	files    *Collector         // nil without a blob store
	unpurged map[string]refusal // deleted sessions whose log the archive has not let go
	// When folders and blobs were collected last, and when all of the blob store was looked at.
	folders, blobs, full time.Time
}

// refusal is why a session is left alone for some time.
type refusal struct {
	times int
	until time.Time
}

// startRetention works until ctx ends or stop is called, which waits for the end.
func startRetention(ctx context.Context, o *Options) (stop func()) {
	r := &retention{Retention: o.Retention, store: o.Store, log: o.Logger, unpurged: map[string]refusal{}}
	if o.Snapshots != nil {
		r.files = &Collector{Store: o.Store, Snapshots: o.Snapshots, DataDir: o.DataDir, Logger: o.Logger, Grace: o.Retention.CollectGrace}
	}
	if r.Interval == 0 {
		r.Interval = retentionInterval
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r *retention) run(ctx context.Context) {
	for {
		// Not at once after a start, and not all workers at the same time.
		if !wait.For(ctx, r.Interval/2+rand.N(r.Interval)) {
			return
		}
		_, err := r.store.HoldRetention(ctx, r.runOnce)
		if err == nil {
			err = r.collectFolders(ctx)
		}
		if err != nil && ctx.Err() == nil && !r.failing {
			r.log.WarnContext(ctx, "old logs and files cannot be looked after; it is tried again", logs.Err(err))
		}
		r.failing = err != nil
	}
}

// runOnce does once what there is to be done.
func (r *retention) runOnce(ctx context.Context) error {
	if r.DeleteAfter > 0 {
		ids, err := r.store.Outdated(ctx, r.DeleteAfter, retentionBatch)
		if err == nil {
			err = r.each(ctx, ids, r.delete)
		}
		if err != nil {
			return err
		}
	}
	if r.CompactAfter > 0 {
		ids, err := r.store.Compactable(ctx, r.CompactAfter, retentionBatch)
		if err == nil {
			err = r.each(ctx, ids, r.compact)
		}
		if err != nil {
			return err
		}
	}
	if r.ArchiveAfter > 0 {
		if err := r.archive(ctx); err != nil {
			return err
		}
	}
	ids, err := r.store.Purgeable(ctx, purgeGrace, r.backedOff(), retentionBatch)
	if err == nil {
		err = r.each(ctx, ids, r.purge)
	}
	// The blob store may refuse one thing and not another.
	return errors.Join(err, r.collectBlobs(ctx))
}

// backedOff lists the sessions whose logs are not tried to be purged yet.
func (r *retention) backedOff() (ids []string) {
	for id, refused := range r.unpurged {
		if time.Now().Before(refused.until) {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkDue reports whether it is time again, and takes note that it is done.
func checkDue(last *time.Time, every time.Duration) bool {
	if !last.IsZero() && time.Since(*last) < every {
		return false
	}
	*last = time.Now()
	return true
}

func (r *retention) every() time.Duration { return min(collectInterval, 10*r.Interval) }

func (r *retention) collectBlobs(ctx context.Context) error {
	if r.files == nil || !checkDue(&r.blobs, r.every()) {
		return nil
	}
	_, err := r.files.blobs(ctx, checkDue(&r.full, collectFull))
	return err
}

// collectFolders is for every worker: each has folders of its own.
func (r *retention) collectFolders(ctx context.Context) error {
	if r.files == nil || !checkDue(&r.folders, r.every()) {
		return nil
	}
	_, err := r.files.Folders(ctx, false)
	return err
}

// each does something for sessions. What fails for one of them is logged, and does not keep the others waiting.
func (r *retention) each(ctx context.Context, ids []string, do func(ctx context.Context, id string) error) error {
	const mostRefused = 3
	refused := 0
	for _, id := range ids {
		ctx := logs.With(ctx, logs.Session(id))
		err := do(ctx, id)
		switch schema.CodeOf(err) {
		case "", schema.CodeNotFound: // deleted meanwhile
		case schema.CodeUnavailable:
			// The archive may be away, for one log or for all of them, while Postgres is there.
			if refused++; refused == mostRefused || r.store.Ping(ctx) != nil {
				return err
			}
			r.log.WarnContext(ctx, "an old log cannot be looked after; it is tried again", logs.Err(err))
		default:
			r.log.ErrorContext(ctx, "an old log cannot be looked after", logs.Err(err))
		}
	}
	return ctx.Err()
}

// repeat does a step until it says that there is no more to do.
func repeat(ctx context.Context, step func() (more bool, err error)) error {
	for {
		began := time.Now()
		more, err := step()
		if err != nil || !more {
			return err
		}
		if !wait.For(ctx, time.Since(began)) {
			return ctx.Err()
		}
	}
}

func (r *retention) delete(ctx context.Context, id string) error {
	deleted, err := r.store.DeleteOutdated(ctx, id, r.DeleteAfter)
	if deleted {
		r.log.InfoContext(ctx, "session deleted by policy", slog.Duration("after", r.DeleteAfter))
	}
	return err
}

func (r *retention) compact(ctx context.Context, id string) error {
	var all store.Compacted
	err := repeat(ctx, func() (bool, error) {
		done, err := r.store.Compact(ctx, id)
		all.Events += done.Events
		all.Blocks += done.Blocks
		all.Before += done.Before
		all.After += done.After
		return done.More, err
	})
	if all.Events > 0 {
		r.log.InfoContext(ctx, "log compacted", slog.Int("events", all.Events), slog.Int("blocks", all.Blocks),
			slog.Int64("bytes_before", all.Before), slog.Int64("bytes_after", all.After))
	}
	return err
}

func (r *retention) archive(ctx context.Context) error {
	var all store.Archived
	err := repeat(ctx, func() (bool, error) {
		done, err := r.store.ArchiveBlocks(ctx, r.ArchiveAfter)
		all.Blocks += done.Blocks
		all.Bytes += done.Bytes
		for i := range done.Failed {
			if f := &done.Failed[i]; i == 0 && all.Failed == nil { // one says what is wrong; the others are counted
				r.log.WarnContext(logs.With(ctx, logs.Session(f.SessionID)), "old output cannot be archived; it is tried again, less and less often",
					slog.Int64("first_seq", f.First), slog.Int64("last_seq", f.Last), logs.Err(f.Err))
			}
		}
		all.Failed = append(all.Failed, done.Failed...)
		return done.More, err
	})
	if len(all.Failed) > 1 {
		r.log.WarnContext(ctx, "blocks of old output could not be archived", slog.Int("blocks", len(all.Failed)))
	}
	if all.Blocks > 0 {
		r.log.InfoContext(ctx, "old output archived", slog.Int("blocks", all.Blocks), slog.Int64("bytes", all.Bytes))
	}
	return err
}

func (r *retention) purge(ctx context.Context, id string) error {
	var all store.Purged
	err := repeat(ctx, func() (bool, error) {
		done, err := r.store.Purge(ctx, id)
		all.Events += done.Events
		all.Blocks += done.Blocks
		return done.More, err
	})
	if all.Events+all.Blocks > 0 {
		r.log.InfoContext(ctx, "log of a deleted session removed", slog.Int64("events", all.Events), slog.Int64("blocks", all.Blocks))
	}
	if schema.CodeOf(err) != schema.CodeUnavailable {
		delete(r.unpurged, id)
		return err
	}
	times := r.unpurged[id].times + 1
	r.unpurged[id] = refusal{times: times, until: time.Now().Add(min(retentionInterval<<min(times, 10), purgeRest))}
	return err
}
