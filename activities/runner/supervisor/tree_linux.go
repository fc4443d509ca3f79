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
		if state, ppid, ok := procStat(pid); ok && (state != 'Z' && state != 'X' || living(pid) != 0) {
			parents[pid] = ppid
		}
	}
	return below(parents)
}

// living is a live thread of a process, whose first thread may have ended before the others; 0 if
// there is none.
func living(pid int) int {
	for _, tid := range numbers(procDir(pid) + "/task") {
		if state, _, ok := procStat(tid); ok && state != 'Z' && state != 'X' {
			return tid
		}
	}
	return 0
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

// marked lists processes with these marks in their environment.
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
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ") // unreadable: not ours, so not the step's
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

// keepDescriptors keeps all descriptors except the standard streams from the program, including
// those that the supervisor itself inherited.
func keepDescriptors() {
	if unix.CloseRange(workerFD, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := workerFD; fd < 1<<16; fd++ { // Linux before 5.11
		unix.CloseOnExec(fd)
	}
}

// treeUse adds up what all processes below this one use. It reads the lists of children, so that
// the cost depends on the step and not on the host. For init, which is ours, only the processes
// below it count, and what the ones that it has waited for used.
func treeUse(init int) use {
	var sum use
	var add func(pid int)
	seen := map[int]bool{}
	add = func(pid int) {
		dir := "/proc/" + strconv.Itoa(pid)
		threads, err := os.ReadDir(dir + "/task")
		if err != nil {
			return // the process has ended
		}
		for _, t := range threads {
			text, _ := os.ReadFile(dir + "/task/" + t.Name() + "/children") // empty for a thread that has ended
			for child := range strings.FieldsSeq(string(text)) {
				n, err := strconv.Atoi(child)
				if err != nil || seen[n] {
					continue
				}
				seen[n] = true
				sum.add(n)
				if n == init {
					sum.rss, sum.processes, sum.pids = 0, 0, nil // it is the first
				}
				add(n)
			}
		}
	}
	add(os.Getpid())
	return sum
}

// clockTick is the unit of proc(5)'s times: USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond

func (u *use) add(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return
	}
	// After the name in parentheses: state is field 3, so that utime (14) to cstime (17), num_threads
	// (20) and rss (24) are at 11 to 14, 17 and 21.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const rss = 21
	if len(fields) <= rss {
		return
	}
	if fields[0][0] == 'Z' {
		if tid := living(pid); tid != 0 && tid != pid {
			u.add(tid)
		}
		return
	}
	u.pids = append(u.pids, pid)
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64) // the kernel writes numbers
		return n
	}
	u.cpu += time.Duration(number(11)+number(12)+number(13)+number(14)) * clockTick
	u.rss += number(rss) * int64(os.Getpagesize())
	u.processes++
	io, _ := os.ReadFile(dir + "/io") // 0 if unreadable
	for line := range strings.Lines(string(io)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "read_bytes":
			u.read += n
		case "write_bytes":
			u.write += n
		}
	}
}

// hostOOMKills is how many processes the kernel has killed on this host because memory ran out.
func hostOOMKills() uint64 {
	text, _ := os.ReadFile("/proc/vmstat")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// hostShmem is how much memory all files in memory on this host take.
func hostShmem() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "Shmem:"); ok {
			return kibibytes(kib)
		}
	}
	return 0
}

// widen makes a pipe as large as allowed; a smaller one works too, only slower.
func widen(f *os.File) {
	const pipeBytes = 1 << 20 // the most that an unprivileged process may ask for (/proc/sys/fs/pipe-max-size)
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
}

// byDescriptor is a short name for an open folder.
func byDescriptor(folder *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) }

// watchMemory samples the program's own peak until it exceeds the supervisor's. The kernel counts
// the memory before execve, which is the supervisor's, in the program's ru_maxrss (fs/exec.c,
// exec_mmap). So below that value only the samples are right, and above it ru_maxrss is. The
// returned function picks the right one.
func watchMemory(pid int) (peak func(rusage int64) int64) {
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own) // EFAULT and EINVAL are impossible
	const slack = 4 << 20                            // the supervisor grew a little before it forked
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

// peakRSS reads VmHWM of proc(5), which execve resets.
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
	return 0, false // the process has ended
}
