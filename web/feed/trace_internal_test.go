package feed

import (
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// What events come from is remembered only until they are read, and not if they never are.
func TestTopic_RemembersCausesOfEventsThatAreStillToCome(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, c := range map[string]struct {
		ready bool
		then  func(topic *topic)
		want  int
	}{
		"some are to come":               {true, func(*topic) {}, 1},
		"the log's end is not known":     {false, func(*topic) {}, 0},
		"they are read":                  {true, func(topic *topic) { topic.take(&store.Tail{Events: []schema.Event{{Seq: 8}}}, nil) }, 0},
		"the log has none":               {true, func(topic *topic) { topic.take(&store.Tail{}, nil) }, 0},
		"the session is deleted":         {true, func(topic *topic) { topic.deleted() }, 0},
		"the log is restored to less":    {true, func(topic *topic) { topic.found(3, 7) }, 0},
		"the log has what it is to have": {true, func(topic *topic) { topic.found(8, 7) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := New(&memoryLog{}, logs.Discard())
			h.Tracer = noop.NewTracerProvider().Tracer("")
			h.end() // it reads nothing by itself
			s := h.shard("s")
			topic := newTopic(s, "s")
			topic.ready, topic.tail, topic.due = c.ready, 7, true
			s.topics["s"] = topic
			h.traced("s", 7, parent) // it is read already
			h.traced("s", 8, parent)
			c.then(topic)
			if got := len(topic.causes); got > 1 || got != c.want {
				t.Errorf("%d causes are remembered, want %d", got, c.want)
			}
		})
	}
}
