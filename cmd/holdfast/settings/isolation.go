package settings

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

// EnvSandbox is the name of the setting that says how steps are isolated.
const EnvSandbox = "HOLDFAST_SANDBOX"

// Isolation says how a worker isolates its steps from the host.
type Isolation struct {
	Sandbox      sandbox.Mode
	SandboxPaths []string // absolute
	// NetworkRefused are places that no step may reach, in the form of [schema.ParseNetworkRule].
	NetworkRefused []string
	// MaxOutput is how much an attempt may print before it is ended; 0 is no limit.
	MaxOutput int64
	// OrphanTimeout is how long a step goes on without a worker.
	OrphanTimeout time.Duration
	// EndSteps makes steps end with their worker when it is asked to stop.
	EndSteps bool
}

// EnvStepsOnStop is the name of the setting that says what happens to steps when their worker
// is asked to stop.
const EnvStepsOnStop = "HOLDFAST_STEPS_ON_STOP"

func (i *Isolation) specs() []spec {
	return []spec{
		{name: EnvSandbox, def: string(sandbox.Isolated), allowed: "required, isolated, weakened or off", help: "whether a step is refused when this host lacks any layer of isolation, or one that keeps it from other sessions and the worker; weakened runs it with the layers that there are, though it may reach their files and sockets, and off with the worker's rights", parse: sandboxMode(&i.Sandbox)},
		{name: "HOLDFAST_SANDBOX_PATHS", shown: none, allowed: "a comma-separated list of absolute paths, other than /", help: "files and folders of this host that steps can read, besides the system's", parse: paths(&i.SandboxPaths)},
		{name: "HOLDFAST_NETWORK_REFUSED", shown: none, allowed: "a comma-separated list of places: a name, an address or a range of them, then a colon and a port or *", help: "destinations that no step may reach, such as other servers of this installation; this host, Postgres and Temporal are always refused", parse: places(&i.NetworkRefused)},
		{name: "HOLDFAST_MAX_OUTPUT", def: "1GiB", allowed: "a size such as 500MB or 10GiB, or 0 for no limit", help: "how much an attempt may print; one that prints more ends with output_limit, and its output until then is kept", parse: byteSize(&i.MaxOutput)},
		{name: "HOLDFAST_ORPHAN_TIMEOUT", def: "1h", allowed: "a duration from 1s to 720h", help: "how long a step goes on without a worker", parse: duration(&i.OrphanTimeout, time.Second, 720*time.Hour)},
		{name: EnvStepsOnStop, def: "keep", allowed: "keep or end", help: "whether steps keep running for the next worker when theirs stops, or end with it", parse: func(s string) bool {
			i.EndSteps = s == "end"
			return i.EndSteps || s == "keep"
		}},
	}
}

func sandboxMode(to *sandbox.Mode) func(string) bool {
	return func(s string) bool {
		m, ok := sandbox.ParseMode(strings.ToLower(s))
		*to = m
		return ok
	}
}

func paths(to *[]string) func(string) bool {
	return commaList(to, func(list []string, item string) ([]string, bool) {
		if item == "" {
			return list, true
		}
		clean := filepath.Clean(item)
		if !filepath.IsAbs(item) || clean == "/" || strings.ContainsRune(item, 0) {
			return nil, false
		}
		if slices.Contains(list, clean) {
			return list, true
		}
		return append(list, clean), true
	})
}

func places(to *[]string) func(string) bool {
	return commaList(to, func(list []string, item string) ([]string, bool) {
		if item == "" {
			return list, true
		}
		rule, err := schema.ParseNetworkRule(item)
		if err != nil || rule.Below { // nobody can look up the addresses of all names below one
			return nil, false
		}
		return append(list, item), true
	})
}

// Places are the parts of the product that steps must not reach: what the operator names, and
// where Postgres and Temporal are. No step sees a socket file, and it is on no network.
func (w *Worker) Places() []string {
	list := slices.Clone(w.NetworkRefused)
	add := func(host string, port string) {
		place := net.JoinHostPort(host, port)
		if _, err := schema.ParseNetworkRule(place); err == nil {
			list = append(list, place)
		}
	}
	if c, err := pgconn.ParseConfig(w.DatabaseURL); err == nil {
		add(c.Host, strconv.Itoa(int(c.Port)))
		for _, f := range c.Fallbacks {
			add(f.Host, strconv.Itoa(int(f.Port)))
		}
	}
	address := w.Options.HostPort
	if i := strings.LastIndexByte(address, '/'); i >= 0 { // such as dns:///temporal:7233
		address = address[i+1:]
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		add(host, port)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
