package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a cgroup v2 group that holds one step.
type Group struct {
	path        string
	controllers []string // the available ones: memory, cpu, pids
}

// workerGroup is the group that a worker moves into, so that its original group may delegate
// controllers.
const workerGroup = "holdfast-worker"

// EnterCgroup is [FindCgroup] for a worker, at its start. If systemd has delegated the group
// (Delegate=yes), it moves all processes into a group below, because the kernel delegates
// controllers only from a group without processes.
func EnterCgroup() (string, error) {
	dir, err := FindCgroup()
	if err != nil || !delegated(dir) {
		return dir, err
	}
	leaf := &Group{path: filepath.Join(dir, workerGroup)}
	if err := os.Mkdir(leaf.path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make a cgroup for the worker: %w", errno(err))
	}
	for _, pid := range (&Group{path: dir}).Pids() {
		_ = leaf.Add(pid) // it may have ended; if it stays, the controllers are lost, which is reported
	}
	return dir, nil
}

// delegated says whether systemd has delegated what is below a group, which it marks.
func delegated(dir string) bool {
	var mark [2]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, mark[:]); err == nil && string(mark[:n]) == "1" {
			return true
		}
	}
	return false
}

// FindCgroup finds the folder in which this process may make groups: the one that it is in. An
// error says why there is none.
func FindCgroup() (string, error) {
	mount, err := cgroupMount()
	if err != nil {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", errno(err)
	}
	for line := range strings.Lines(string(own)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		dir := filepath.Join(mount, path)
		if filepath.Base(dir) == workerGroup {
			dir = filepath.Dir(dir)
		}
		if unix.Access(dir, unix.W_OK) != nil || unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
			return "", errors.New("the process's cgroup is not delegated to it")
		}
		return dir, nil
	}
	return "", errors.New("the process is in no cgroup v2 group")
}

func cgroupMount() (string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("cgroup v2 is not mounted")
}

// NewGroup makes a group in a parent, with the controllers that the parent delegates. Except for
// the root, a parent delegates them only if it holds no process itself; if not, the group can still
// be frozen and killed.
func NewGroup(parent, name string) (*Group, error) {
	g := &Group{path: filepath.Join(parent, name)}
	// One by one: a missing controller must not exclude the others.
	for _, c := range []string{"memory", "cpu", "pids"} {
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+c), 0) // checked below
	}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", errno(err))
	}
	have, _ := g.read("cgroup.controllers") // none if unreadable
	g.controllers = strings.Fields(have)
	return g, nil
}

func (g *Group) read(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(g.path, file))
	return strings.TrimSpace(string(b)), err
}

func (g *Group) write(file, value string) error {
	return os.WriteFile(filepath.Join(g.path, file), []byte(value), 0)
}

func (g *Group) has(controller string) bool { return slices.Contains(g.controllers, controller) }

// Add moves a process into the group.
func (g *Group) Add(pid int) error { return g.write("cgroup.procs", strconv.Itoa(pid)) }

// Freeze stops or resumes every process of the group, and waits until that is done.
func (g *Group) Freeze(frozen bool) error {
	want := "0"
	if frozen {
		want = "1"
	}
	if err := g.write("cgroup.freeze", want); err != nil {
		return err
	}
	return g.await("cgroup.events", "frozen", want)
}

// Kill kills every process of the group at once, and waits until it is empty.
func (g *Group) Kill() error {
	if err := g.write("cgroup.kill", "1"); err != nil {
		return err
	}
	return g.await("cgroup.events", "populated", "0")
}

// groupPatience is how long the kernel may take to freeze or kill.
const groupPatience = 5 * time.Second

func (g *Group) await(file, key, value string) error {
	for deadline := time.Now().Add(groupPatience); ; time.Sleep(time.Millisecond) {
		got, err := g.value(file, key)
		if err != nil || got == value {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %s did not become %s within %s", key, value, groupPatience)
		}
	}
}

// value reads one line of a file of keys and values.
func (g *Group) value(file, key string) (string, error) {
	text, err := g.read(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			return f[1], nil
		}
	}
	return "", nil
}

func (g *Group) number(file, key string) int64 {
	text, err := g.value(file, key)
	if key == "" {
		text, err = g.read(file)
	}
	n, parseErr := strconv.ParseInt(text, 10, 64)
	if err != nil || parseErr != nil {
		return 0
	}
	return n
}

// OOMKills counts the processes that the kernel killed because the group exceeded its memory; 0 if
// the group does not limit memory.
func (g *Group) OOMKills() int64 { return g.number("memory.events", "oom_kill") }

// PeakMemory is the most memory that the group used, in bytes; 0 if unknown.
func (g *Group) PeakMemory() int64 { return g.number("memory.peak", "") }

// CPU is the CPU time of the group's processes.
func (g *Group) CPU() time.Duration {
	return time.Duration(g.number("cpu.stat", "usage_usec")) * time.Microsecond
}

// Pids lists the processes of the group.
func (g *Group) Pids() []int {
	text, _ := g.read("cgroup.procs") // none if the group is gone
	var out []int
	for line := range strings.Lines(text) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// Remove removes the group, which must be empty.
func (g *Group) Remove() error { return unix.Rmdir(g.path) }

// newGroup makes the step's group and sets its limits, as far as the host allows.
func (s *Spec) newGroup() (*Group, []Status) {
	layers := []Layer{LayerCgroupMemory, LayerCgroupCPU, LayerCgroupPIDs, LayerCgroupFreeze}
	none := func(why string) (*Group, []Status) {
		var missing []Status
		for _, l := range layers {
			missing = append(missing, Status{Layer: l, Why: why})
		}
		return nil, missing
	}
	if s.Cgroup == "" {
		return none("there is no cgroup v2 folder in which groups may be made")
	}
	sweepGroups(s.Cgroup)
	g, err := NewGroup(s.Cgroup, fmt.Sprintf("%s%d-%d", groupPrefix, time.Now().UnixNano(), os.Getpid()))
	if err != nil {
		return none(err.Error())
	}
	return g, g.limit(s)
}

const groupPrefix = "step-" // followed by the time and the supervisor

// sweepGroups removes the empty groups of steps whose supervisors were killed. A new group may be
// empty because its step is just starting.
func sweepGroups(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		made, _, _ := strings.Cut(strings.TrimPrefix(e.Name(), groupPrefix), "-")
		nanos, err := strconv.ParseInt(made, 10, 64)
		if err == nil && strings.HasPrefix(e.Name(), groupPrefix) && time.Since(time.Unix(0, nanos)) > 2*startPatience {
			_ = unix.Rmdir(filepath.Join(parent, e.Name())) // refused while it holds a process
		}
	}
}

func (g *Group) limit(s *Spec) []Status {
	var missing []Status
	set := func(l Layer, controller string, wanted bool, put func() error) {
		if !g.has(controller) {
			missing = append(missing, Status{Layer: l, Why: "the cgroup does not have the controller " + controller})
			return
		}
		if wanted {
			if err := put(); err != nil {
				missing = append(missing, Status{Layer: l, Why: errno(err).Error()})
			}
		}
	}
	set(LayerCgroupMemory, "memory", s.MemoryBytes > 0, func() error {
		_ = g.write("memory.swap.max", "0")  // missing without swap
		_ = g.write("memory.oom.group", "1") // Linux 4.19
		return g.write("memory.max", strconv.FormatInt(s.MemoryBytes, 10))
	})
	set(LayerCgroupCPU, "cpu", s.CPUs > 0, func() error {
		const period = 100_000
		return g.write("cpu.max", fmt.Sprintf("%d %d", max(1000, int64(s.CPUs*period)), period))
	})
	set(LayerCgroupPIDs, "pids", s.Processes > 0, func() error {
		return g.write("pids.max", strconv.Itoa(s.Processes+initThreads))
	})
	if _, err := g.read("cgroup.freeze"); err != nil {
		missing = append(missing, Status{Layer: LayerCgroupFreeze, Why: "the kernel's cgroups cannot be frozen"})
	} else if _, err := os.Stat(filepath.Join(g.path, "cgroup.kill")); err != nil {
		missing = append(missing, Status{Layer: LayerCgroupFreeze, Why: "the kernel's cgroups cannot be killed"})
	}
	return missing
}
