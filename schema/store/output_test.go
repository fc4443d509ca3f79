package store_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// printed joins the output events of a step.
func printed(t *testing.T, events []schema.Event, step string) string {
	t.Helper()
	var text strings.Builder
	for _, e := range events {
		if e.Type == schema.EventOutput && e.StepID == step {
			text.WriteString(dataOf[schema.OutputData](t, e).Text)
		}
	}
	return text.String()
}

func TestAppendOutput_EachBatchOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	for batch := range int64(5) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for range 2 {
					if err := s.AppendOutput(ctx, b.output("make", 1, batch, fmt.Sprintf("%d a\n", batch), fmt.Sprintf("%d b\n", batch))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	for batch := range int64(4) { // a batch may be empty, even in the first flush of a process
		runtime.GC()
		runtime.GC() // by now the pooled buffers are gone
		must(t, s.AppendOutput(ctx, b.output("make", 1, 5+batch)))
	}
	must(t, s.AppendOutput(ctx, b.output("make", 1, 1, "very late")))
	mustFail(t, s.AppendOutput(ctx, b.output("make", 1, 10, "too early")), schema.CodeConflict)
	mustFail(t, s.AppendOutput(ctx, b.output("make", 2, 0, "no such attempt")), schema.CodeNotFound)
	if got, want := printed(t, log(t, s, b.session), "make"), "0 a\n0 b\n1 a\n1 b\n2 a\n2 b\n3 a\n3 b\n4 a\n4 b\n"; got != want {
		t.Fatalf("the output is %q", got)
	}
	must(t, s.FinishAttempt(ctx, b.finish(1, schema.AttemptSucceeded, schema.StepSucceeded)))
	mustFail(t, s.AppendOutput(ctx, b.output("make", 1, 9, "too late")), schema.CodeStale)
}

func TestAppendOutput_KeepsTextAsItWas(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	b.attempt(t, s, "make")
	random := rand.NewChaCha8([32]byte{1})
	dense := make([]byte, 1<<20) // does not compress
	_, _ = random.Read(dense)
	for i := range dense {
		dense[i] = dense[i]%95 + 32
	}
	texts := []string{
		"", "plain\n", "nul \x00 inside\x00", "emoji 😀 👩‍🔬 é", `"quotes" \ {}`, "'; DROP TABLE events; --", "$1 ? ?0 %s",
		strings.Repeat("many lines of output\n", 50_000), string(dense), strings.Repeat("😀\x00", 1<<18),
	}
	must(t, s.AppendOutput(context1(t), b.output("make", 1, 0, texts...)))
	must(t, s.AppendOutput(context1(t), b.output("make", 1, 1, "bad \xff\xfe bytes", strings.Repeat("\x80", 2000))))
	texts = append(texts, "bad \uFFFD\uFFFD bytes", strings.Repeat("\uFFFD", 2000))
	events, err := s.Events(context1(t), b.session, store.EventFilter{Types: []schema.EventType{schema.EventOutput}})
	must(t, err)
	if len(events) != len(texts) {
		t.Fatalf("%d texts became %d events", len(texts), len(events))
	}
	for i, e := range events {
		d := dataOf[schema.OutputData](t, e)
		if d.Text != texts[i] {
			t.Errorf("text %d (%.20q…, %d bytes) came back as %.20q…, %d bytes", i, texts[i], len(texts[i]), d.Text, len(d.Text))
		}
		if d.Attempt != 1 || d.Stream != schema.Stdout || e.RunID != b.run || e.StepID != "make" || e.SessionID != b.session {
			t.Errorf("%+v", e.Seq)
		}
	}
}

func TestLog_HasNoGapUnderManyWriters(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	session := b.session
	b.attempt(t, s, "make")
	const writers, each = 16, 12
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				var err error
				if w == 0 {
					err = s.AppendOutput(context1(t), b.output("make", 1, int64(i), "one\n", "two\n"))
				} else {
					_, err = s.AppendEvents(context1(t), store.AppendEvents{
						SessionID: session, Key: fmt.Sprintf("%d.%d", w, i),
						Events: []schema.NewEvent{
							{Type: schema.EventStepProgress, RunID: b.run, StepID: "show", Data: schema.OutputData{Offset: int64(w), Attempt: i}},
							{Type: schema.EventAgentMessage, Data: schema.OutputData{Text: strings.Repeat("x", 1000)}},
						},
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	// A following reader sees every seq once, in order, whatever else happens.
	var seen int64
	const base, total = 6, writers * each * 2
	testkit.Eventually(t, "all events", func() bool {
		events, err := s.Events(context1(t), session, store.EventFilter{Since: seen, Limit: 50})
		must(t, err)
		for _, e := range events {
			if e.Seq != seen+1 {
				t.Fatalf("after %d comes %d", seen, e.Seq)
			}
			seen = e.Seq
		}
		return seen >= base+total
	})
	all.Wait()
	events := log(t, s, session)
	if len(events) != base+total {
		t.Fatalf("there are %d events, not %d", len(events), base+total)
	}
	next := make([]int, writers)
	for _, e := range events {
		if e.Type == schema.EventStepProgress {
			d := dataOf[schema.OutputData](t, e)
			if next[d.Offset] != d.Attempt {
				t.Fatalf("writer %d: event %d where %d is due", d.Offset, d.Attempt, next[d.Offset])
			}
			next[d.Offset]++
		}
	}
}

func TestEvents_FollowTheFilter(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	session := newSession(t, s)
	ctx := context1(t)
	for i := range 30 {
		kind := schema.EventStepProgress
		if i%3 == 0 {
			kind = schema.EventAgentMessage
		}
		_, err := s.AppendEvents(ctx, store.AppendEvents{
			SessionID: session.ID, Key: strconv.Itoa(i),
			Events: []schema.NewEvent{{Type: kind, Data: schema.SessionRenamedData{Name: strings.Repeat("n", 989)}}}, // 1000 bytes of JSON
		})
		must(t, err)
	}
	for name, c := range map[string]struct {
		filter store.EventFilter
		want   []int64
	}{
		"since":       {store.EventFilter{Since: 27}, []int64{28, 29, 30}},
		"until":       {store.EventFilter{Until: 2}, []int64{1, 2}},
		"window":      {store.EventFilter{Since: 4, Until: 6}, []int64{5, 6}},
		"limit":       {store.EventFilter{Since: 10, Limit: 2}, []int64{11, 12}},
		"types":       {store.EventFilter{Types: []schema.EventType{schema.EventAgentMessage}, Since: 20}, []int64{22, 25, 28}},
		"bytes":       {store.EventFilter{MaxBytes: 3500}, []int64{1, 2, 3}},
		"exact bytes": {store.EventFilter{MaxBytes: 3000, Since: 1}, []int64{2, 3, 4}},
		"one at all":  {store.EventFilter{MaxBytes: 1, Since: 7}, []int64{8}},
		"both":        {store.EventFilter{MaxBytes: 5000, Limit: 2}, []int64{1, 2}},
		"beyond":      {store.EventFilter{Since: 30}, []int64{}},
		"none":        {store.EventFilter{Since: 30, MaxBytes: 1}, []int64{}},
	} {
		events, err := s.Events(ctx, session.ID, c.filter)
		must(t, err)
		got := []int64{}
		for _, e := range events {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) || events == nil {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
	events, err := s.Events(ctx, session.ID, store.EventFilter{})
	must(t, err)
	if at := events[0].Timestamp; time.Since(at.Time).Abs() > time.Minute || at.Nanosecond()%1_000_000 != 0 || at.Location() != time.UTC {
		t.Errorf("it happened at %v", at.Time)
	}
}
