package settings

import (
	"strconv"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// Hosts says how sessions share the hosts that run their steps.
type Hosts struct {
	HostTimeout time.Duration // for web: what each session is started with
	MaxSteps    int           // for worker; 0 is its default
}

// The bounds of HOLDFAST_HOST_TIMEOUT: a worker that is only busy takes a step within a second.
const (
	minHostTimeout = 5 * time.Second
	maxHostTimeout = 7 * 24 * time.Hour
)

func (h *Hosts) specs() []spec {
	return []spec{
		{name: "HOLDFAST_HOST_TIMEOUT", def: schema.DefaultHostTimeout.String(), allowed: "a duration such as 60s or 10m, from 5s to 168h", help: "how long a step waits for its session's host before another host may take over; a session keeps the value it was started with", parse: duration(&h.HostTimeout, minHostTimeout, maxHostTimeout)},
		{name: "HOLDFAST_MAX_STEPS", def: strconv.Itoa(schema.DefaultMaxSteps()), shown: strconv.Itoa(schema.DefaultMaxSteps()) + ", which is 16 per core, at least 200", allowed: "a whole number from 1 to 10000", help: "the most steps that a worker runs at once; steps that declare cpu or memory also wait for those", parse: whole(&h.MaxSteps, 1, 10_000)},
	}
}

// LoadDrain reads what `holdfast worker --drain` needs: the data folder of the worker.
func LoadDrain(env Env) (dataDir string, err error) {
	s := &Storage{}
	specs := s.specs(env)
	for i := range specs {
		specs[i].required = false
	}
	err = load(env, specs)
	return s.DataDir, err
}
