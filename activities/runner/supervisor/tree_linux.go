package supervisor

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownGroup puts the program into a session and process group of its own, without a
// terminal, and has the kernel kill it when the supervisor dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// becomeSubreaper makes orphans below this process its children instead of init's.
func becomeSubreaper() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

func maxRSS(ru *syscall.Rusage) int64 { return ru.Maxrss * 1024 } // getrusage(2): in KiB

// tree lists every process below this one that has not ended.
func tree() []int {
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if state, ppid, ok := procStat(pid); ok && state != 'Z' && state != 'X' {
			parents[pid] = ppid
		}
	}
	return below(parents)
}

// procStat reads the state and parent of a process: proc(5), fields 3 and 4, behind the
// name in parentheses.
func procStat(pid int) (state byte, ppid int, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	rest := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(rest) < 2 {
		return 0, 0, false
	}
	ppid, err = strconv.Atoi(string(rest[1]))
	return rest[0][0], ppid, err == nil
}

func redirect(from, to int) error { return unix.Dup3(from, to, 0) }

// marked lists processes by the marks in their environment.
func marked(marks []string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ") // not ours: not readable, and not the step's
		if err != nil || len(env) == 0 {
			continue
		}
		if state, _, ok := procStat(pid); !ok || state == 'Z' || state == 'X' {
			continue
		}
		vars := bytes.Split(env, []byte{0})
		all := true
		for _, mark := range marks {
			all = all && slices.ContainsFunc(vars, func(v []byte) bool { return string(v) == mark })
		}
		if all {
			found = append(found, pid)
		}
	}
	return found
}

// keepDescriptors keeps everything but the standard streams from the program, also what the
// supervisor itself has inherited.
func keepDescriptors() {
	if unix.CloseRange(reportFD, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := reportFD; fd < 1<<16; fd++ { // Linux before 5.11
		unix.CloseOnExec(fd)
	}
}

// watchMemory samples the program's own peak until it is over the supervisor's. The kernel
// counts what a process had before execve, which is the supervisor's memory, into its
// ru_maxrss (fs/exec.c, exec_mmap); so below that only the samples tell, and above it
// ru_maxrss does. The function that is returned picks the one that is right.
func watchMemory(pid int) (peak func(rusage int64) int64) {
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own) // EFAULT and EINVAL cannot be
	const slack = 4 << 20                            // the supervisor grew a little until it forked
	floor := maxRSS(&own) + slack
	var sampled atomic.Int64
	go func() {
		const longest = 250 * time.Millisecond
		for wait := 2 * time.Millisecond; sampled.Load() <= floor; wait = min(2*wait, longest) {
			time.Sleep(wait)
			now, ok := peakRSS(pid)
			if !ok {
				return
			}
			sampled.Store(max(sampled.Load(), now))
		}
	}()
	return func(rusage int64) int64 {
		if rusage > floor {
			return rusage
		}
		return min(rusage, sampled.Load())
	}
}

// peakRSS reads VmHWM of proc(5), which execve starts anew.
func peakRSS(pid int) (bytes int64, ok bool) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false // it has ended
}
