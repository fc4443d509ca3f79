//go:build amd64 || arm64

package sandbox

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that a step's program never needs: they inspect or change other
// processes, the kernel, or the step's world. Each fails with EPERM, so that a program that only
// tries can go on.
var denied = append([]uint32{
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_PROCESS_MADVISE,
	// Mounts and roots.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN,
	unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, sysOpenTreeAttr, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_FANOTIFY_INIT,
	// Namespaces; clone is checked below.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	// The kernel's keys, programs, counters and modules.
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_REBOOT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL, unix.SYS_VHANGUP,
	// The clock.
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
}, deniedHere...)

const sysOpenTreeAttr = 467 // the same on every architecture; Linux 6.15

// families are the sockets that a program may make. Others reach past the network namespace
// (AF_VSOCK), or into rarely used parts of the kernel.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// ioctls that insert input into another process's terminal.
var deniedIoctls = []uint32{unix.TIOCSTI, unix.TIOCLINUX}

// setID are the bits that make a program run as its file's owner or group. A step must not set
// them: on the host, outside the step's mounts, they would take effect.
const setID = unix.S_ISUID | unix.S_ISGID

// modeCall is a system call that takes a file's mode, and which argument that is.
type modeCall struct{ nr, mode uint32 }

// modes are the calls that always set a file's mode; creating are those that set it only when they
// create the file, by flags in the argument before.
var (
	modes = append([]modeCall{
		{unix.SYS_FCHMOD, 1}, {unix.SYS_FCHMODAT, 2}, {unix.SYS_FCHMODAT2, 2}, {unix.SYS_MKNODAT, 2}, {unix.SYS_MKDIRAT, 2},
	}, modesHere...)
	creating = append([]modeCall{{unix.SYS_OPENAT, 3}}, creatingHere...)
)

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Offsets in struct seccomp_data, on a little-endian machine.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16 // the low half of the first argument
)

const x32Bit = 0x40000000 // amd64's second set of call numbers

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func load(off uint32) unix.SockFilter { return stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, off) }

func answer(errno unix.Errno) unix.SockFilter {
	return stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|uint32(errno))
}

// filter is the program that the kernel runs at each system call. The kernel itself finds out which
// numbers are always allowed, and skips it for those.
func filter() []unix.SockFilter {
	allow := stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW)
	p := []unix.SockFilter{
		load(offArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_KILL_PROCESS), // 32-bit code: its numbers mean other calls
		load(offNumber),
		jump(unix.BPF_JGE, x32Bit, 0, 1),
		answer(unix.ENOSYS),
	}
	for _, nr := range []uint32{unix.SYS_CLONE3, unix.SYS_OPENAT2} { // their arguments are in memory; programs fall back to clone and openat
		p = append(p, jump(unix.BPF_JEQ, nr, 0, 1), answer(unix.ENOSYS))
	}
	for _, nr := range denied {
		p = append(p, jump(unix.BPF_JEQ, nr, 0, 1), answer(unix.EPERM))
	}
	p = append(p, only(unix.SYS_CLONE, 0, func(next uint8) []unix.SockFilter {
		return []unix.SockFilter{jump(unix.BPF_JSET, newNamespaces, 0, next), answer(unix.EPERM)}
	})...)
	for _, c := range modes {
		p = append(p, only(c.nr, c.mode, func(next uint8) []unix.SockFilter {
			return []unix.SockFilter{jump(unix.BPF_JSET, setID, 0, next), answer(unix.EPERM)}
		})...)
	}
	for _, c := range creating {
		p = append(p, only(c.nr, c.mode-1, func(next uint8) []unix.SockFilter {
			return []unix.SockFilter{ // without one of the flags, the mode argument is garbage
				jump(unix.BPF_JSET, unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY, 0, 2+next),
				load(offArgs + 8*c.mode), jump(unix.BPF_JSET, setID, 0, next), answer(unix.EPERM),
			}
		})...)
	}
	p = append(p, only(unix.SYS_IOCTL, 1, func(uint8) []unix.SockFilter {
		var q []unix.SockFilter
		for _, request := range deniedIoctls {
			q = append(q, jump(unix.BPF_JEQ, request, 0, 1), answer(unix.EPERM))
		}
		return q
	})...)
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		p = append(p, only(nr, 0, func(uint8) []unix.SockFilter {
			var q []unix.SockFilter
			for i, family := range families {
				q = append(q, jump(unix.BPF_JEQ, family, uint8(len(families)-i), 0))
			}
			return append(q, answer(unix.EAFNOSUPPORT))
		})...)
	}
	return append(p, allow)
}

// only runs checks on an argument of one call; if none decides, the call is allowed.
func only(nr, arg uint32, checks func(next uint8) []unix.SockFilter) []unix.SockFilter {
	q := append([]unix.SockFilter{load(offArgs + 8*arg)}, checks(1)...)
	q = append(q, stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW))
	return slices.Insert(q, 0, jump(unix.BPF_JEQ, nr, 0, uint8(len(q))))
}

// filterSystemCalls applies the filter to this thread and everything that it starts.
func filterSystemCalls() error {
	program := filter()
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	if e != 0 {
		return e
	}
	return nil
}
