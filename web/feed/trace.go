package feed

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// cause is what has made a log as long as head.
type cause struct {
	head   int64
	parent string
	at     time.Time
}

// maxCauses bounds those that a topic remembers until it has read as far.
const maxCauses = 64

// traced remembers what a session's events come from, if somebody follows it, from an end that is known.
func (h *Hub) traced(sessionID string, head int64, parent string) {
	s := h.shard(sessionID)
	s.mu.Lock()
	t := s.topics[sessionID]
	s.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready && head > t.tail && len(t.causes) < maxCauses {
		t.causes = append(t.causes, cause{head, parent, time.Now()})
	}
}

// deliveredLocked ends the traces of what the topic's followers can have by now: each gets a span from the notice of its
// events until they were handed over.
func (t *topic) deliveredLocked() {
	if len(t.causes) == 0 {
		return
	}
	t.causes = slices.DeleteFunc(t.causes, func(c cause) bool {
		if c.head > t.tail {
			return false
		}
		_, span := t.hub.Tracer.Start(traceparent.With(context.Background(), c.parent, ""), "deliver events", trace.WithTimestamp(c.at),
			trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.String(logs.KeySession, t.id), attribute.Int64("seq", c.head), attribute.Int("subscribers", len(t.cursors))))
		span.End()
		return true
	})
}
