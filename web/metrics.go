package web

import (
	"fmt"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"
)

// metrics counts what the instance does.
type metrics struct {
	statuses [6]atomic.Int64 // by the first digit
}

func newMetrics() *metrics { return &metrics{} }

func (m *metrics) request(status int) {
	if class := status / 100; class > 0 && class < len(m.statuses) {
		m.statuses[class].Add(1)
	}
}

// sendMetrics answers with the metrics.
func (s *Server) sendMetrics(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	return c.SendString(s.metricsText())
}

// metricsText is the Prometheus text format, version 0.0.4.
func (s *Server) metricsText() string {
	var b strings.Builder
	metric := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	metric("holdfast_connections", "gauge", "Open WebSocket connections of this instance.")
	fmt.Fprintf(&b, "holdfast_connections %d\n", s.registry.Count())
	metric("holdfast_connections_max", "gauge", "WebSocket connections that this instance takes.")
	fmt.Fprintf(&b, "holdfast_connections_max %d\n", s.opts.MaxConnections)
	metric("holdfast_events_delivered_total", "counter", "Events handed to subscribers.")
	fmt.Fprintf(&b, "holdfast_events_delivered_total %d\n", s.hub.Delivered())
	metric("holdfast_topics", "gauge", "Sessions that somebody watches.")
	fmt.Fprintf(&b, "holdfast_topics %d\n", s.hub.Topics())
	metric("holdfast_feed_bytes", "gauge", "Frames held in memory for subscribers.")
	fmt.Fprintf(&b, "holdfast_feed_bytes %d\n", s.hub.Bytes())
	metric("holdfast_requests_total", "counter", "HTTP requests by class of status.")
	for class := 1; class < len(s.metrics.statuses); class++ {
		fmt.Fprintf(&b, "holdfast_requests_total{status=\"%dxx\"} %d\n", class, s.metrics.statuses[class].Load())
	}
	live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(live)
	metric("go_gc_heap_live_bytes", "gauge", "Heap that was in use at the last garbage collection.")
	fmt.Fprintf(&b, "go_gc_heap_live_bytes %d\n", live[0].Value.Uint64())
	metric("go_goroutines", "gauge", "Goroutines of this process.")
	fmt.Fprintf(&b, "go_goroutines %d\n", runtime.NumGoroutine())
	return b.String()
}
