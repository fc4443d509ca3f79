package store_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// talk makes a run print, with other events in between.
func talk(t testing.TB, s *store.Store, b began, flushes int) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, uint64(flushes)))
	number := b.attempt(t, s, "make")
	for i := range flushes {
		var texts []string
		for range random.IntN(40) {
			texts = append(texts, strings.Repeat(fmt.Sprint(i, " é \x00 \"quoted\"\n"), 1+random.IntN(60)))
		}
		o := b.output("make", number, int64(i), texts...)
		if i%5 == 0 {
			o.Progress = append(o.Progress, schema.StepProgressData{Attempt: number, Note: "on\nits way", ElapsedMS: int64(i)})
		}
		must(t, s.AppendOutput(context1(t), o))
		if i%7 == 0 {
			happen(t, s, b.session, 1)
		}
	}
}

// happen adds events of a kind that is never compacted.
func happen(t testing.TB, s *store.Store, session string, n int) {
	t.Helper()
	a := store.AppendEvents{SessionID: session, Key: schema.NewID()}
	for i := range n {
		a.Events = append(a.Events, schema.NewEvent{Type: schema.EventFileUpdated, Data: schema.FileChangedData{Path: "f", Size: int64(i)}})
	}
	_, err := s.AppendEvents(context1(t), a)
	must(t, err)
}

func compactAll(t testing.TB, s *store.Store, session string) (all store.Compacted) {
	t.Helper()
	for {
		done, err := s.Compact(context1(t), session)
		must(t, err)
		all.Events += done.Events
		all.Blocks += done.Blocks
		all.Before += done.Before
		all.After += done.After
		if !done.More {
			return all
		}
	}
}

func same(t testing.TB, what string, got, want []schema.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d events, not %d", what, len(got), len(want))
	}
	for i := range got {
		g, w := &got[i], &want[i]
		if g.Seq != w.Seq || g.Type != w.Type || g.SessionID != w.SessionID || g.RunID != w.RunID || g.StepID != w.StepID ||
			!g.Timestamp.Equal(w.Timestamp.Time) || !bytes.Equal(g.Data, w.Data) {
			t.Fatalf("%s: event %d is %+v, not %+v", what, w.Seq, g, w)
		}
	}
}

// choose returns what Events should answer, given the whole log.
func choose(events []schema.Event, f store.EventFilter) []schema.Event {
	out := []schema.Event{}
	size := int64(0)
	for _, e := range events {
		if e.Seq <= f.Since || e.Seq > cmp.Or(f.Until, math.MaxInt64) || len(f.Types) > 0 && !slices.Contains(f.Types, e.Type) {
			continue
		}
		size += int64(len(e.Data))
		if len(out) == cmp.Or(f.Limit, store.DefaultEventLimit) || f.MaxBytes > 0 && size > f.MaxBytes && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out
}

func rowsOf(t testing.TB, dsn, query string, args ...any) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	defer conn.Close(context1(t))
	must(t, conn.QueryRow(context1(t), query, args...).Scan(&n))
	return n
}

func TestCompact_EveryEventStaysAsItWas(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	talk(t, s, b, 60)
	// Events whose data has line breaks, and fields that need escapes.
	_, err := s.AppendEvents(context1(t), store.AppendEvents{SessionID: b.session, Key: "odd", Events: []schema.NewEvent{
		{Type: schema.EventOutput, RunID: b.run, StepID: "a \"step\"\t\\\n é \U0001F600", Data: schema.OutputData{Text: "x"}},
		{Type: schema.EventOutput, Data: schema.OutputData{Text: strings.Repeat("large", 600_000)}},
		{Type: schema.EventStepProgress, StepID: "alone", Data: schema.StepProgressData{Attempt: 1}},
	}})
	must(t, err)
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	defer conn.Close(context1(t))
	_, err = conn.Exec(context1(t), `UPDATE events SET data = E'{\n"stream": "stdout"}', packed = NULL, size = 22
		WHERE session_id = $1 AND seq = (SELECT min(seq) FROM events WHERE session_id = $1 AND type = 'output')`, b.session)
	must(t, err)
	before := log(t, s, b.session)

	store.SetCompactEvents(s, smallSteps)
	done := compactAll(t, s, b.session)
	if done.Events == 0 || done.Blocks < 6 || done.After*3 > done.Before {
		t.Fatalf("%+v", done)
	}
	left := rowsOf(t, dsn, `SELECT count(*) FROM events WHERE session_id = $1 AND type IN ('output', 'step_progress')`, b.session)
	if left != 1 {
		t.Errorf("%d rows of output are left; only the one with a line break may be", left)
	}
	same(t, "whole", log(t, s, b.session), before)
	if again := compactAll(t, s, b.session); again.Events != 0 || again.Blocks != 0 {
		t.Errorf("compacted again: %+v", again)
	}

	// A later run appends rows, which become blocks later.
	happen(t, s, b.session, 3)
	number := 1
	must(t, s.AppendOutput(context1(t), store.AppendOutput{
		SessionID: b.session, RunID: b.run, StepID: "make", Attempt: number, From: 60, To: 61, Chunks: []schema.OutputData{{Text: "more"}},
	}))
	mixed := log(t, s, b.session)
	same(t, "with more", mixed[:len(before)], before)
	check(t, s, b.session, mixed)
	compactAll(t, s, b.session)
	same(t, "all", log(t, s, b.session), mixed)
	check(t, s, b.session, mixed)
	check(t, storetest.Open(t, dsn), b.session, mixed) // which has read no block yet
}

// check compares the answers to many filters with the expected ones.
func check(t *testing.T, s *store.Store, session string, all []schema.Event) {
	t.Helper()
	kinds := [][]schema.EventType{
		nil, nil, {schema.EventOutput}, {schema.EventStepProgress}, {schema.EventOutput, schema.EventFileUpdated}, {schema.EventFileUpdated, schema.EventWorkflowStarted},
	}
	random := rand.New(rand.NewPCG(3, 4))
	head := all[len(all)-1].Seq
	for range 100 {
		f := store.EventFilter{Since: random.Int64N(head + 1), Limit: 1 + random.IntN(200), Types: kinds[random.IntN(len(kinds))]}
		if random.IntN(2) == 0 {
			f.MaxBytes = 1 + random.Int64N(200_000)
		}
		if random.IntN(2) == 0 {
			f.Until = f.Since + 1 + random.Int64N(head)
		}
		got, err := s.Events(context1(t), session, f)
		must(t, err)
		want := choose(all, f)
		// With types, an answer may be shorter, but not empty and without gaps.
		if len(f.Types) > 0 && len(got) > 0 && len(got) < len(want) {
			want = want[:len(got)]
		}
		same(t, fmt.Sprintf("%+v", f), got, want)
	}
	for _, maxBytes := range []int64{0, 100_000} {
		var pages []schema.Event
		for since := int64(0); since < head; {
			page, err := s.Events(context1(t), session, store.EventFilter{Since: since, Limit: 128, MaxBytes: maxBytes})
			must(t, err)
			pages = append(pages, page...)
			since = page[len(page)-1].Seq
		}
		same(t, "pages", pages, all)
	}
}

// Readers see every seq once at any time, even while rows become blocks, and while two processes do that.
func TestCompact_ReadersSeeTheWholeLogMeanwhile(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	bulk(t, s, b, 5000)
	want := log(t, s, b.session)
	other := storetest.Open(t, dsn)
	for _, db := range []*store.Store{s, other} {
		store.SetCompactEvents(db, smallSteps)
	}
	ctx, stop := context.WithCancel(context1(t))
	var readers, compactors sync.WaitGroup
	for i := range 3 {
		db := []*store.Store{s, other, s}[i]
		readers.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(i)))
			for ctx.Err() == nil {
				since := random.Int64N(int64(len(want)))
				for range 20 {
					got, err := db.Events(context1(t), b.session, store.EventFilter{Since: since, Limit: 500, MaxBytes: 20_000})
					if err != nil {
						t.Error(err)
						return
					}
					if len(got) == 0 {
						break
					}
					for k := range got {
						if w := &want[since+int64(k)]; got[k].Seq != w.Seq || !bytes.Equal(got[k].Data, w.Data) {
							t.Errorf("after %d comes %d", since, got[k].Seq)
							return
						}
					}
					since += int64(len(got))
				}
			}
		})
	}
	for _, db := range []*store.Store{s, other} {
		compactors.Go(func() { compactAll(t, db, b.session) })
	}
	compactors.Wait()
	stop()
	readers.Wait()
	if left := rowsOf(t, dsn, `SELECT count(*) FROM events WHERE session_id = $1 AND type = 'output'`, b.session); left != 0 {
		t.Errorf("%d rows are left", left)
	}
	same(t, "at the end", log(t, s, b.session), want)
}

// bulk makes a run print this many events.
func bulk(t testing.TB, s *store.Store, b began, events int) {
	t.Helper()
	number := b.attempt(t, s, "make")
	const flush = 500
	for i := range int64(events / flush) {
		texts := make([]string, flush)
		for k := range texts {
			texts[k] = fmt.Sprintf("line %d of flush %d\n", k, i)
		}
		must(t, s.AppendOutput(context1(t), b.output("make", number, i, texts...)))
	}
}
