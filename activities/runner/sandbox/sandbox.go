package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// Mode says what happens if the host does not give a layer.
type Mode string

// The modes.
const (
	Required Mode = "required" // a step is refused if a layer is missing
	Isolated Mode = "isolated" // a step is refused if a layer that isolates steps is missing
	Weakened Mode = "weakened" // a step runs with the available layers: it may reach other steps
	Off      Mode = "off"      // a step runs as the worker's own process, with its rights
)

// ParseMode reads a mode by its name.
func ParseMode(s string) (Mode, bool) {
	m := Mode(s)
	return m, slices.Contains([]Mode{Required, Isolated, Weakened, Off}, m)
}

// Layer is one layer of a step's isolation.
type Layer string

// The layers. The cgroup ones have substitutes (a watchdog, rlimits, affinity, SIGSTOP), so they
// are never required.
const (
	LayerUser         Layer = "user"         // namespaces: user ids
	LayerPID          Layer = "pid"          // processes
	LayerMount        Layer = "mount"        // files
	LayerProc         Layer = "proc"         // a /proc that shows only the step's processes
	LayerIPC          Layer = "ipc"          // System V IPC and message queues
	LayerUTS          Layer = "uts"          // host name
	LayerNetwork      Layer = "network"      // network, unless the step may use it
	LayerLandlock     Layer = "landlock"     // files again, by the kernel's Landlock
	LayerSeccomp      Layer = "seccomp"      // system calls that no program needs
	LayerNoNewPrivs   Layer = "no_new_privs" // setuid programs give no privileges
	LayerCapabilities Layer = "capabilities" // none are left
	LayerRlimits      Layer = "rlimits"
	LayerPIDs         Layer = "pids" // a limit on processes
	LayerCgroupMemory Layer = "cgroup_memory"
	LayerCgroupCPU    Layer = "cgroup_cpu"
	LayerCgroupPIDs   Layer = "cgroup_pids"
	LayerCgroupFreeze Layer = "cgroup_freeze" // freeze and kill a whole group at once
)

// Layers lists every layer, outermost first.
func Layers() []Layer {
	return []Layer{
		LayerUser, LayerPID, LayerMount, LayerProc, LayerIPC, LayerUTS, LayerNetwork,
		LayerLandlock, LayerSeccomp, LayerNoNewPrivs, LayerCapabilities, LayerRlimits, LayerPIDs,
		LayerCgroupMemory, LayerCgroupCPU, LayerCgroupPIDs, LayerCgroupFreeze,
	}
}

// Required says whether [Required] needs the layer.
func (l Layer) Required() bool { return !strings.HasPrefix(string(l), "cgroup_") }

// Status says whether a layer is on, and if not, why not.
type Status struct {
	Layer Layer  `json:"layer"`
	On    bool   `json:"on"`
	Why   string `json:"why,omitempty"`
}

// Spec describes a step's world. Paths are absolute.
type Spec struct {
	Mode Mode     `json:"mode"`
	Argv []string `json:"argv"`
	// Env is the program's environment. Start adds TMPDIR, removes folders that the program does
	// not see from PATH, and corrects HOLDFAST_SOCKET if Socket is not at SocketDir.
	Env []string `json:"env"`
	Dir string   `json:"dir"` // the workspace, writable, at the same path inside
	Tmp string   `json:"tmp"` // becomes /tmp
	// Socket becomes SocketDir, read-only: programs can still connect to a socket in it. "" is
	// none.
	Socket string `json:"socket,omitempty"`
	// ReadOnly are additional files and folders that the program sees, at the same path. Missing
	// ones are left out.
	ReadOnly []string `json:"read_only,omitempty"`
	// Hidden are folders that the program does not see although it sees a folder around them, such
	// as a data dir in /opt.
	Hidden []string `json:"hidden,omitempty"`
	// Network gives the program a network: the frames of its own namespace, which come to
	// [Child.Link]. Without such a namespace it uses the worker's network, unless Mode refuses
	// that.
	Network bool `json:"network,omitempty"`
	// Listed says that the network is restricted to a list of places, which needs a namespace:
	// without one the step is refused in every mode but Off.
	Listed bool `json:"listed,omitempty"`

	// Owners is what the worker has made with [Owners]; without it, a step that runs as nobody makes its own.
	Owners *os.File `json:"-"`

	// Without are layers to leave out as if the host did not give them.
	Without []Layer `json:"without,omitempty"`

	// Limits; 0 is none.
	MemoryBytes int64   `json:"memory_bytes,omitempty"`
	CPUs        float64 `json:"cpus,omitempty"`
	Processes   int     `json:"processes,omitempty"` // and threads
	FileBytes   int64   `json:"file_bytes,omitempty"`

	// Cgroup is a cgroup v2 folder in which the step gets its own group ([FindCgroup]); "" is none.
	Cgroup string `json:"cgroup,omitempty"`
}

// SocketDir is where a program finds [Spec.Socket].
const SocketDir = "/run/holdfast"

// Outcome is how a program ended.
type Outcome struct {
	ExitCode *int   `json:"exit_code,omitempty"`
	Signal   string `json:"signal,omitempty"` // such as SIGSEGV
	// CPUSeconds covers the program and the orphans that ended before it. The supervisor's own wait
	// for init counts everything.
	CPUSeconds float64 `json:"cpu_seconds"`
	// MaxRSSBytes is that of the largest process; 0 if it was so small that the kernel's figure is
	// init's own (it includes what a process had before execve).
	MaxRSSBytes int64 `json:"max_rss_bytes"`
}

// StartError says that the program itself could not be started.
type StartError struct {
	Name string
	Err  error
}

// Error implements error.
func (e *StartError) Error() string { return fmt.Sprintf("cannot start %q: %v", e.Name, e.Err) }

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Err }

// startPatience is how long init may take until the program runs.
const startPatience = 30 * time.Second

// initArg is the argument that makes a supervisor program run [Init].
const initArg = "init"

// needed says whether a mode refuses a step without the layer. [Isolated] needs the layers that
// separate a step from other steps and from the worker: files, processes, sockets and memory.
func (m Mode) needed(l Layer, missing []Status) bool {
	switch m {
	case Required:
		return l.Required()
	case Isolated:
		switch l {
		case LayerPID, LayerMount, LayerIPC, LayerNetwork, LayerSeccomp, LayerNoNewPrivs, LayerCapabilities:
			return true
		case LayerProc: // Landlock protects other processes that are visible
			return slices.ContainsFunc(missing, func(s Status) bool { return s.Layer == LayerLandlock && !s.On })
		default:
			return false
		}
	default:
		return false
	}
}

// Refused lists the layers whose absence makes a mode refuse a step, each with why it is missing.
func (m Mode) Refused(layers []Status) []Status {
	var refused []Status
	for _, s := range layers {
		if !s.On && m.needed(s.Layer, layers) {
			refused = append(refused, s)
		}
	}
	return refused
}

// refusal is the error for a step that must not run with these layers missing, or nil.
func (s *Spec) refusal(missing []Status) error {
	refused := s.Mode.Refused(missing)
	if len(refused) == 0 {
		return s.listRefusal(missing)
	}
	names := make([]string, 0, len(refused))
	for _, m := range refused {
		names = append(names, fmt.Sprintf("%s (%s)", m.Layer, m.Why))
	}
	lacks := strings.Join(names, ", ")
	if s.Mode == Required {
		return schema.Errorf(schema.CodeUnsupported, "the step is refused: HOLDFAST_SANDBOX is required, and this host lacks %s; use a host that provides every layer, or HOLDFAST_SANDBOX=isolated", lacks)
	}
	return schema.Errorf(schema.CodeUnsupported,
		"the step is refused: this host cannot isolate it from other sessions and from the worker: missing %s; provide what docs/sandbox.md names, or set HOLDFAST_SANDBOX=weakened",
		lacks)
}

// listRefusal is the error for a step whose network cannot be restricted to its list, or nil.
func (s *Spec) listRefusal(missing []Status) error {
	if !s.Listed || !slices.ContainsFunc(missing, func(m Status) bool { return m.Layer == LayerNetwork && !m.On }) {
		return nil
	}
	return schema.Errorf(schema.CodeUnsupported, "the step is refused: its network is restricted to a list, and this host gives it no network of its own")
}
