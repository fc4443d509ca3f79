package sandbox

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	reservedPIDs = 300 // after wrapping around, the kernel assigns no lower number
	initThreads  = 16  // for init itself, which count too
	maxFiles     = 65536
)

// countsByUser says whether RLIMIT_NPROC limits this step: it counts the processes of a user in a
// user namespace, and never those of the host's root.
func (sb *sandbox) countsByUser() bool { return sb.has(LayerUser) && !sb.root0 }

// boundPIDs limits the processes of the PID namespace.
func (sb *sandbox) boundPIDs() error {
	if sb.Processes <= 0 || sb.countsByUser() && !sb.has(LayerPID) {
		return nil
	}
	if !sb.has(LayerPID) {
		return errors.New("this requires a PID namespace")
	}
	if !kernelAtLeast(6, 14) { // in earlier kernels, the setting below is the host's
		if sb.countsByUser() {
			return nil
		}
		return errors.New("this requires Linux 6.14, or a worker that is not root, whose processes the kernel does not count")
	}
	n := sb.Processes + reservedPIDs + initThreads
	return errno(os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(n)), 0))
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func (sb *sandbox) setRlimits() error {
	set := func(resource int, n uint64) error {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return err
		}
		n = min(n, now.Max)
		// Not unix.Prlimit: the runtime would then reset RLIMIT_NOFILE for the program.
		return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: n, Max: n})
	}
	errs := []error{set(unix.RLIMIT_CORE, 0), set(unix.RLIMIT_NOFILE, maxFiles)}
	if sb.FileBytes > 0 {
		errs = append(errs, set(unix.RLIMIT_FSIZE, uint64(sb.FileBytes)))
	}
	if sb.Processes > 0 && sb.countsByUser() {
		errs = append(errs, set(unix.RLIMIT_NPROC, uint64(sb.Processes+initThreads)))
	}
	if sb.MemoryBytes > 0 {
		// A backstop for a process that is faster than the watchdog. It counts writable mappings,
		// which may be more than is used, so it is generous.
		const room = 1 << 30
		errs = append(errs, set(unix.RLIMIT_DATA, 2*uint64(sb.MemoryBytes)+room))
	}
	return errors.Join(errs...)
}

// affinity gives the program as many processors as it may use, if no cgroup limits its CPU time.
// The choice of processors varies from step to step.
func (sb *sandbox) affinity() {
	if grouped := !sb.isMissing(LayerCgroupCPU); sb.CPUs <= 0 || grouped {
		return
	}
	var have, want unix.CPUSet
	if unix.SchedGetaffinity(0, &have) != nil {
		return
	}
	var cpus []int
	for i := range len(have) * bits.UintSize {
		if have.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	n := int(math.Ceil(sb.CPUs))
	if n >= len(cpus) {
		return
	}
	var seed [1]byte
	_, _ = unix.Getrandom(seed[:], 0) // always using the same ones does no harm
	for i := range n {
		want.Set(cpus[(int(seed[0])+i)%len(cpus)])
	}
	_ = unix.SchedSetaffinity(0, &want) // for this thread, which starts the program
}
