//go:build unix

package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	// chunkBytes is the most that one output event carries: small enough for a viewer to show at
	// once, large enough that a million lines are about a thousand events.
	chunkBytes = 64 << 10
	// flushBytes is the most that one flush carries.
	flushBytes = 1 << 20
	// tellBytes is how much must be recorded before the supervisor is told what it no longer needs,
	// because telling wakes it. A spool that is not much larger is told every time.
	tellBytes = 1 << 20
)

// lostError is why an attempt without an end to record is lost.
type lostError schema.Reason

func (e lostError) Error() string { return "the attempt is lost: " + string(e) }

// follower carries an attempt's spool to the store.
type follower struct {
	attempt int
	spool   *spool.Reader
	told    schema.StepProgressData // the program's progress and use, the newest of each
	rewound int64                   // the last offset rewound to
}

// flush is recorded in one go.
type flush struct {
	from, to int64
	bytes    int
	chunks   []schema.OutputData
	progress []schema.StepProgressData
}

// unrecordable says that an attempt's output can never be recorded.
type unrecordable struct{ error }

// follow records everything that the program prints until it has ended, and returns how it ended.
// What is read during one flush makes up the next. An error means that the attempt is no longer
// ours, that the worker is ending, that its output cannot be recorded, an [unrecordable], or that
// the supervisor was killed, a [lostError].
func (r *Runner) follow(run *running, s *supervised, attempt int, offset int64) (supervisor.Exit, error) {
	arg := &run.arg
	f := follower{attempt: attempt, spool: spool.Open(s.dir, offset), rewound: -1}
	f.told.Waiting = run.reportedWait // so that the log records that it no longer waits
	defer func() { _ = f.spool.Close() }()
	defer r.waits(run, "")
	run.recorded.Store(offset)
	run.following.Store(s)
	defer run.following.Store(nil)
	told, tellAfter := int64(0), int64(tellBytes)
	if r.o.SpoolBytes < 8*tellBytes {
		tellAfter = 0
	}
	for {
		gone := s.isGone() // checked first: once it is gone, what is known of the exit is final
		now := s.look()
		next, err := f.next(&now)
		if err != nil {
			if err := r.unreadable(arg, err); err != nil {
				return supervisor.Exit{}, err
			}
			continue
		}
		r.waits(run, now.waiting)
		run.recorded.Store(next.from)
		if len(next.chunks) > 0 || len(next.progress) > 0 || next.to > next.from {
			recorded, err := r.recordOrRewind(arg, &f, &next, now.end)
			if err != nil {
				return supervisor.Exit{}, err
			}
			if recorded && next.to-told >= tellAfter {
				told = next.to
				s.order(supervisor.Order{Do: supervisor.DoConsumed, Offset: told})
			}
			continue
		}
		switch {
		case now.exit != nil && next.to >= now.exit.SpoolEnd:
			return *now.exit, nil
		case gone && now.exit == nil:
			return supervisor.Exit{}, lostError(schema.ReasonSupervisor)
		}
		select {
		case <-s.changed:
		case <-time.After(r.o.CheckEvery): // a silent step: is it still wanted?
			if err := r.record(arg, attempt, &next); err != nil {
				return supervisor.Exit{}, err
			}
		case <-r.ctx.Done():
			return supervisor.Exit{}, context.Cause(r.ctx)
		}
	}
}

// unreadable waits a moment if a spool cannot be read now, such as when descriptors run out. Damage
// is final.
func (r *Runner) unreadable(arg *schema.RunStep, err error) error {
	if errors.Is(err, spool.ErrDamaged) {
		return unrecordable{err}
	}
	r.o.Logger.WarnContext(about(r.ctx, arg), "cannot read a step's spool; retrying", logs.Err(err))
	select {
	case <-time.After(faultLongest):
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// recordOrRewind records a flush, or goes back to before it.
func (r *Runner) recordOrRewind(arg *schema.RunStep, f *follower, next *flush, end int64) (recorded bool, err error) {
	err = r.record(arg, f.attempt, next)
	if schema.CodeOf(err) == schema.CodeConflict {
		return false, r.rewind(arg, f, end, err)
	}
	return err == nil, err
}

// rewind goes back to what the store has, after the store has lost some (it was restored, or a
// standby has taken over), and records from there. If the spool no longer has that, retrying does
// not help, and the error is why.
func (r *Runner) rewind(arg *schema.RunStep, f *follower, end int64, why error) error {
	var begun store.BegunAttempt
	err := r.persist(arg, func(ctx context.Context) (err error) {
		begun, err = r.o.Store.BeginAttempt(ctx, store.BeginAttempt{
			SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Execution: arg.Execution, Host: r.o.Host, Live: f.attempt,
		})
		return err
	})
	switch {
	case err != nil:
		return err
	case begun.Number != f.attempt || begun.Finished != nil:
		return schema.Errorf(schema.CodeStale, "attempt %d of step %q is over", f.attempt, arg.StepID)
	case begun.SpoolOffset == f.rewound || begun.SpoolOffset >= f.spool.Offset():
		return unrecordable{why}
	}
	_ = f.spool.Close()
	f.spool, f.rewound = spool.Open(f.spool.Dir(), begun.SpoolOffset), begun.SpoolOffset
	if _, _, err := f.spool.Next(end); errors.Is(err, spool.ErrDamaged) {
		return unrecordable{why}
	}
	_ = f.spool.Close()
	f.spool = spool.Open(f.spool.Dir(), begun.SpoolOffset)
	r.o.Logger.WarnContext(about(r.ctx, arg, logs.Attempt(f.attempt)), "rewinding output to the database's offset", slog.Int64("offset", begun.SpoolOffset))
	return nil
}

// next reads what is available.
func (f *follower) next(now *known) (flush, error) {
	next := flush{from: f.spool.Offset()}
	told := false
	for next.bytes < flushBytes {
		frame, ok, err := f.spool.Next(now.end)
		if err != nil && f.spool.Offset() == next.from {
			return flush{}, err
		}
		if err != nil || !ok {
			break // record what was read before the error first
		}
		switch frame.Kind {
		case spool.Progress:
			var p supervisor.Progress
			if json.Unmarshal(frame.Data, &p) == nil {
				f.told.Progress = cmp.Or(p.Progress, f.told.Progress)
				f.told.Note = p.Note
				told = true
			}
		case spool.Stderr:
			next.add(schema.OutputData{Stream: schema.Stderr, Text: toUTF8(frame.Data), Offset: frame.Offset, Attempt: f.attempt})
		default:
			next.add(schema.OutputData{Stream: schema.Stdout, Text: toUTF8(frame.Data), Offset: frame.Offset, Attempt: f.attempt})
		}
	}
	next.to = f.spool.Offset()
	if f.told.Waiting != now.waiting {
		f.told.Waiting, told = now.waiting, true
	}
	if stats := now.stats; stats != nil {
		stats.Progress, stats.Note, stats.Waiting = f.told.Progress, f.told.Note, f.told.Waiting
		f.told, told = *stats, true
	}
	if told {
		f.told.Attempt = f.attempt
		next.progress = append(next.progress, f.told)
	}
	return next, nil
}

// add appends a chunk to the previous one if both are of one stream and small.
func (n *flush) add(c schema.OutputData) {
	n.bytes += len(c.Text)
	if last := len(n.chunks) - 1; last >= 0 && n.chunks[last].Stream == c.Stream && len(n.chunks[last].Text)+len(c.Text) <= chunkBytes {
		n.chunks[last].Text += c.Text
	} else {
		n.chunks = append(n.chunks, c)
	}
}

// toUTF8 converts b to text: each byte that is not part of a rune becomes U+FFFD.
func toUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b) + 16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// record records a flush. One that is refused for good is [unrecordable], unless the attempt is
// over or the store has lost earlier output: those have their own answers.
func (r *Runner) record(arg *schema.RunStep, attempt int, f *flush) error {
	err := r.persist(arg, func(ctx context.Context) error {
		return r.o.Store.AppendOutput(ctx, store.AppendOutput{
			SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Attempt: attempt,
			From: f.from, To: f.to, Chunks: f.chunks, Progress: f.progress,
		})
	})
	switch code := schema.CodeOf(err); {
	case code == schema.CodeStale, code == schema.CodeNotFound, code == schema.CodeConflict, !schema.IsPermanent(err):
		return err
	default:
		return unrecordable{err}
	}
}
