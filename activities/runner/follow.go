//go:build unix

package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	// chunkBytes is the most that one output event carries: small enough for a viewer to
	// show at once, large enough that a million lines are some thousand events.
	chunkBytes = 64 << 10
	// flushBytes is the most that one flush carries.
	flushBytes = 1 << 20
	// tellBytes is after how much a supervisor is told what it needs no more: each time wakes it.
	// A spool that is not much larger is told of all.
	tellBytes = 1 << 20
)

// lostError is what became of an attempt that has no end to record: why it is lost.
type lostError schema.Reason

func (e lostError) Error() string { return "the attempt is lost: " + string(e) }

// follower carries an attempt's spool to the recorder.
type follower struct {
	attempt int
	spool   *spool.Reader
	told    schema.StepProgressData // of the program's progress and its use, the newest of each
}

// flush is what is recorded at once.
type flush struct {
	from, to int64
	bytes    int
	chunks   []schema.OutputData
	progress []schema.StepProgressData
}

// follow records everything that the program prints, until it has ended; how is the answer.
// What is read while one flush is under way makes up the next one. An error means that the
// attempt is not ours any more, that the worker is ending, or that the supervisor was killed,
// a [lostError].
func (r *Runner) follow(ask *schema.RunStep, s *supervised, attempt int, offset int64) (supervisor.Exit, error) {
	f := follower{attempt: attempt, spool: spool.Open(s.dir, offset)}
	defer f.spool.Close()
	told, tellAfter := int64(0), int64(tellBytes)
	if r.o.SpoolBytes < 8*tellBytes {
		tellAfter = 0
	}
	for {
		gone := s.isGone() // asked first: once it is, what is known of the exit is final
		_, stats, exit := s.look()
		next, err := f.next(stats)
		if err != nil {
			return supervisor.Exit{}, err
		}
		if len(next.chunks) > 0 || len(next.progress) > 0 || next.to > next.from {
			if err := r.record(ask, attempt, &next); err != nil {
				return supervisor.Exit{}, err
			}
			if next.to-told >= tellAfter {
				told = next.to
				s.order(supervisor.Order{Do: supervisor.DoConsumed, Offset: told})
			}
			continue
		}
		switch {
		case exit != nil && next.to >= exit.SpoolEnd:
			return *exit, nil
		case gone && exit == nil:
			return supervisor.Exit{}, lostError(schema.ReasonSupervisor)
		}
		select {
		case <-s.changed:
		case <-time.After(r.o.CheckEvery): // a silent step: is it still wanted?
			if err := r.record(ask, attempt, &next); err != nil {
				return supervisor.Exit{}, err
			}
		case <-r.ctx.Done():
			return supervisor.Exit{}, context.Cause(r.ctx)
		}
	}
}

// next reads what there is.
func (f *follower) next(stats *schema.StepProgressData) (flush, error) {
	next := flush{from: f.spool.Offset()}
	told := false
	for next.bytes < flushBytes {
		frame, ok, err := f.spool.Next()
		if err != nil {
			return flush{}, err
		}
		if !ok {
			break
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
	if stats != nil {
		stats.Progress, stats.Note = f.told.Progress, f.told.Note
		f.told, told = *stats, true
	}
	if told {
		f.told.Attempt = f.attempt
		next.progress = append(next.progress, f.told)
	}
	return next, nil
}

// add joins a chunk to the one before, if they are of one stream and small.
func (n *flush) add(c schema.OutputData) {
	n.bytes += len(c.Text)
	if last := len(n.chunks) - 1; last >= 0 && n.chunks[last].Stream == c.Stream && len(n.chunks[last].Text)+len(c.Text) <= chunkBytes {
		n.chunks[last].Text += c.Text
	} else {
		n.chunks = append(n.chunks, c)
	}
}

// toUTF8 makes text of b: each byte that is not part of a rune becomes U+FFFD.
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

func (r *Runner) record(ask *schema.RunStep, attempt int, f *flush) error {
	return r.persist(func(ctx context.Context) error {
		return r.o.Recorder.AppendOutput(ctx, store.AppendOutput{
			SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Attempt: attempt,
			From: f.from, To: f.to, Chunks: f.chunks, Progress: f.progress,
		})
	})
}
