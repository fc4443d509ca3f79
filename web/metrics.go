package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/web/health"
)

// metrics is what the instance counts, and reads when somebody looks.
type metrics struct {
	*telemetry.Telemetry

	server  *Server
	page    fasthttp.RequestHandler
	figures figures
}

// newMetrics registers what is read of a server whose parts are there.
func newMetrics(s *Server, t *telemetry.Telemetry) *metrics {
	m := &metrics{Telemetry: t, server: s, page: fasthttpadaptor.NewFastHTTPHandler(t.Handler()), figures: figures{read: s.opts.Store.Figures, log: s.log}}
	for class := 1; class <= 5; class++ {
		t.Add(telemetry.Requests, 0, statusClass(100*class))
	}
	number := func(metric *telemetry.Metric, read func() float64) {
		t.Observed(metric, func(_ context.Context, set telemetry.Set) { set(read()) })
	}
	number(telemetry.Connections, func() float64 { return float64(s.registry.Count()) })
	number(telemetry.ConnectionsMax, func() float64 { return float64(s.opts.MaxConnections) })
	number(telemetry.EventsDelivered, func() float64 { return float64(s.hub.Delivered()) })
	number(telemetry.EventBytes, func() float64 { return float64(s.hub.DeliveredBytes()) })
	number(telemetry.EventsBehind, m.behind)
	number(telemetry.Topics, func() float64 { return float64(s.hub.Topics()) })
	number(telemetry.FeedBytes, func() float64 { return float64(s.hub.Bytes()) })
	t.Observed(telemetry.DependencyUp, func(_ context.Context, set telemetry.Set) {
		for d, up := range s.health.State().Up {
			value := 0.0
			if up {
				value = 1
			}
			set(value, health.Dependency(d).String())
		}
	})
	m.observeFigures(t)
	return m
}

func (m *metrics) observeFigures(t *telemetry.Telemetry) {
	figure := func(metric *telemetry.Metric, tell func(f *store.Figures, set telemetry.Set)) {
		t.Observed(metric, func(ctx context.Context, set telemetry.Set) {
			if f := m.figures.count(ctx, time.Now()); f != nil {
				tell(f, set)
			}
		})
	}
	figure(telemetry.Sessions, func(f *store.Figures, set telemetry.Set) {
		for _, s := range f.Sessions {
			set(float64(s.Count), string(s.Status), string(s.Phase), string(s.Mode))
		}
	})
	figure(telemetry.StepsByStatus, func(f *store.Figures, set telemetry.Set) {
		for _, status := range stepStatuses {
			set(float64(f.Steps[status]), string(status))
		}
	})
	figure(telemetry.ApprovalsWaiting, func(f *store.Figures, set telemetry.Set) {
		for _, kind := range approvalTypes {
			set(float64(f.Approvals[kind]), string(kind))
		}
	})
	figure(telemetry.ApprovalsOldest, func(f *store.Figures, set telemetry.Set) { set(f.Oldest.Seconds()) })
}

// behind is the lag of the connection that is furthest behind.
func (m *metrics) behind() float64 {
	most := int64(0)
	for _, member := range m.server.registry.All() {
		_, _, lag := member.Conn.Watched()
		most = max(most, lag)
	}
	return float64(most)
}

// request counts an answer. Paths are told by their patterns, and methods that there are not as one.
func (m *metrics) request(c *fiber.Ctx, status int, took time.Duration) {
	method := c.Method()
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	m.Add(telemetry.Requests, 1, statusClass(status))
	m.Observe(telemetry.RequestDuration, took.Seconds(), method, c.Route().Path, statusClass(status))
}

func statusClass(status int) string { return strconv.Itoa(status/100) + "xx" }

// serve answers with the metrics in the Prometheus text format.
func (m *metrics) serve(c *fiber.Ctx) error {
	m.page(c.Context())
	return nil
}
