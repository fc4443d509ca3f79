package telemetry

import "slices"

// Kind is a kind of metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Process is a kind of process that exposes metrics.
type Process string

// The processes.
const (
	Web    Process = "web"
	Worker Process = "worker"
)

// Metric declares a metric. Its name is the one that Prometheus shows. The values of labels are few: none is the id or the
// name of something that users make.
type Metric struct {
	Name    string
	Kind    Kind
	Unit    string // of its values; "" for a plain number
	Help    string
	Labels  []string
	Buckets []float64 // upper bounds; of a histogram
	By      []Process // which expose it
	Read    bool      // of a counter: it is read by [Telemetry.Observed], not added to
}

var all []*Metric

// All lists every metric.
func All() []*Metric { return all }

func declare(m Metric) *Metric {
	all = append(all, &m)
	return &m
}

const (
	status  = "status"
	seconds = "seconds"
	bytes   = "bytes"
)

// Buckets for what takes milliseconds, for what may have to wait for its host too, and for what people take their time over.
var (
	quick  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	starts = append(slices.Clone(quick), 30, 60, 300)
	slow   = []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600}
)
