//go:build unix && !linux

package supervisor

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// becomeSubreaper works on Linux only: elsewhere a daemon that leaves its parent is out of reach.
func becomeSubreaper() {}

func maxRSS(ru *syscall.Rusage) int64 { return int64(ru.Maxrss) } // in bytes on macOS

// tree lists every process below this one.
func tree() []int {
	out, err := exec.Command("/bin/ps", "-axo", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil
	}
	parents := map[int]int{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[2], "Z") {
			continue
		}
		pid, _ := strconv.Atoi(f[0])
		ppid, _ := strconv.Atoi(f[1])
		parents[pid] = ppid
	}
	return below(parents)
}

func redirect(from, to int) error { return syscall.Dup2(from, to) }

// marked needs /proc: elsewhere, processes that have lost their supervisor are out of reach.
func marked([]string) []int { return nil }

func keepDescriptors() {
	for fd := workerFD; fd < 1024; fd++ {
		syscall.CloseOnExec(fd)
	}
}

func watchMemory(int) (peak func(rusage int64) int64) {
	return func(rusage int64) int64 { return rusage }
}

// A step's use is measured on Linux only, except for what wait4 reports at its end.
func treeUse(int) use { return use{processes: len(tree())} }

// Files without a name can be found on Linux only.
func heldBy([]int, ...string) held { return held{} }

func hostShmem() int64 { return 0 }

func hostOOMKills() uint64 { return 0 }

func widen(*os.File) {}

func byDescriptor(folder *os.File) string { return folder.Name() }
