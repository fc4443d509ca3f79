package worker_test

import (
	"flag"
	"fmt"
	"strconv"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

// A session of years may well have a thousand turns: `go test ./worker -run Turns -turns 1000`, and `make bench`
// measures as many, on an unmodified Temporal.
var manyTurns = flag.Int("turns", 60, "how many turns a long session has")

// A session is as small after many turns as after one: its history and what it carries from one
// execution to the next stay bounded.
func TestSession_ManyTurnsKeepItSmall(t *testing.T) {
	t.Parallel()
	turns := *manyTurns
	const suggested = 1000 // events; Temporal itself suggests to continue as new at 4096
	w := newWorldAt(t, suggestingTemporal(t, suggested))
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","run":["true"]}]}`)
	w.awaitEnds(id, 1)
	for sent := 0; sent < turns; {
		room := 0
		testkit.Eventually(t, "room in the queue of messages", func() bool {
			s, err := w.store.Session(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			room = schema.MaxQueuedMessages/2 - s.QueuedMessages
			return room > 0
		})
		for ; room > 0 && sent < turns; room-- {
			sent++
			result, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: fmt.Sprint("turn ", sent), Actor: "ada", RequestID: strconv.Itoa(sent)})
			if err != nil || result.Message != sent {
				t.Fatalf("message %d: %+v, %v", sent, result, err)
			}
		}
	}
	testkit.Within(t, 5*testkit.Patience, "the end of all turns", func() string {
		s, err := w.store.Session(t.Context(), id)
		if err != nil || s.Totals.Runs != turns+1 || s.Status != schema.SessionCompleted {
			return fmt.Sprintf("after %d runs: %+v, %v", s.Totals.Runs, s, err)
		}
		return ""
	})
	runs, err := w.store.Runs(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range runs[1:] {
		if r.Message != fmt.Sprint("turn ", i+1) || r.Status != schema.SessionCompleted {
			t.Fatalf("run %d answers %q and is %s", r.Number, r.Message, r.Status)
		}
	}
	// Temporal ends a workflow at 51,200 events or 50 MB, and warns at 10,240 and 10 MB.
	const mostEvents, mostCarried = 2 * suggested, 128 << 10
	histories := w.histories(t.Context(), id)
	if len(histories) < 1+turns/45 {
		t.Errorf("%d executions for %d turns", len(histories), turns)
	}
	for i, h := range histories {
		size := 0
		for _, p := range h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads() {
			size += len(p.GetData())
		}
		if n := len(h.GetEvents()); n > mostEvents || size > mostCarried {
			t.Errorf("execution %d has %d events and was given %d bytes", i+1, n, size)
		}
		t.Logf("execution %d: %d events, given %d bytes", i+1, len(h.GetEvents()), size)
	}
}
