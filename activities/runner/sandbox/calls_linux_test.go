//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

type systemCall struct {
	nr   int
	args []string
	want string
}

func systemCalls() map[string]systemCall {
	flags := func(n int) string { return strconv.Itoa(n | int(unix.SIGCHLD)) }
	return map[string]systemCall{
		"ptrace":                               {unix.SYS_PTRACE, []string{"0", "0", "0", "0"}, "EPERM"},
		"process_vm_readv":                     {unix.SYS_PROCESS_VM_READV, []string{"1", "0", "0", "0", "0", "0"}, "EPERM"},
		"mount":                                {unix.SYS_MOUNT, []string{`b"x"`, `b"/tmp"`, `b"tmpfs"`, "0", "0"}, "EPERM"},
		"umount":                               {unix.SYS_UMOUNT2, []string{`b"/etc/shadow"`, "2"}, "EPERM"},
		"fsopen":                               {unix.SYS_FSOPEN, []string{`b"tmpfs"`, "0"}, "EPERM"},
		"open_tree":                            {unix.SYS_OPEN_TREE, []string{"-100", `b"/"`, "1"}, "EPERM"},
		"pivot_root":                           {unix.SYS_PIVOT_ROOT, []string{`b"."`, `b"."`}, "EPERM"},
		"chroot":                               {unix.SYS_CHROOT, []string{`b"/tmp"`}, "EPERM"},
		"open_by_handle_at":                    {unix.SYS_OPEN_BY_HANDLE_AT, []string{"0", "0", "0"}, "EPERM"},
		"unshare user":                         {unix.SYS_UNSHARE, []string{strconv.Itoa(unix.CLONE_NEWUSER)}, "EPERM"},
		"setns":                                {unix.SYS_SETNS, []string{"0", "0"}, "EPERM"},
		"clone with a user namespace":          {unix.SYS_CLONE, []string{flags(unix.CLONE_NEWUSER), "0", "0", "0", "0"}, "EPERM"},
		"clone with a network namespace":       {unix.SYS_CLONE, []string{flags(unix.CLONE_NEWNET), "0", "0", "0", "0"}, "EPERM"},
		"clone3":                               {unix.SYS_CLONE3, []string{"0", "0"}, "ENOSYS"},
		"keyctl":                               {unix.SYS_KEYCTL, []string{"0", "-3", "1"}, "EPERM"},
		"add_key":                              {unix.SYS_ADD_KEY, []string{`b"user"`, `b"x"`, `b"y"`, "1", "-3"}, "EPERM"},
		"bpf":                                  {unix.SYS_BPF, []string{"0", "0", "0"}, "EPERM"},
		"perf_event_open":                      {unix.SYS_PERF_EVENT_OPEN, []string{"0", "0", "-1", "-1", "0"}, "EPERM"},
		"userfaultfd":                          {unix.SYS_USERFAULTFD, []string{"0"}, "EPERM"},
		"io_uring":                             {unix.SYS_IO_URING_SETUP, []string{"1", "0"}, "EPERM"},
		"kexec":                                {unix.SYS_KEXEC_LOAD, []string{"0", "0", "0", "0"}, "EPERM"},
		"modules":                              {unix.SYS_FINIT_MODULE, []string{"0", `b""`, "0"}, "EPERM"},
		"reboot":                               {unix.SYS_REBOOT, []string{"0", "0", "0", "0"}, "EPERM"},
		"the clock":                            {unix.SYS_CLOCK_SETTIME, []string{"0", "0"}, "EPERM"},
		"the kernel's log":                     {unix.SYS_SYSLOG, []string{"10", "0", "0"}, "EPERM"},
		"typing for others":                    {unix.SYS_IOCTL, []string{"0", strconv.Itoa(unix.TIOCSTI), `b"x"`}, "EPERM"},
		"typing, with a flag in the high half": {unix.SYS_IOCTL, []string{"0", "ctypes.c_ulong(0x100000000 | " + strconv.Itoa(unix.TIOCSTI) + ")", `b"x"`}, "EPERM"},
		"openat2":                              {unix.SYS_OPENAT2, []string{"-100", "0", "0", "0"}, "ENOSYS"},
		"x32":                                  {0x40000000 | 39, nil, "ENOSYS"},
		"getpid":                               {unix.SYS_GETPID, nil, "allowed"},
		"getppid":                              {unix.SYS_GETPPID, nil, "allowed"},
	}
}

// call makes a Python program that makes one system call and prints the error's name.
func call(nr int, args ...string) string {
	return fmt.Sprintf(`
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
r = libc.syscall(%d%s)
print("allowed" if r >= 0 else errno.errorcode[ctypes.get_errno()])`, nr, strings.Join(append([]string{""}, args...), ", "))
}

// TestStep_SystemCallsAreRefused: calls that a program never needs, with their errors.
func TestStep_SystemCallsAreRefused(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerSeccomp)
	for name, c := range systemCalls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, newSpec(t, python, "-c", call(c.nr, c.args...)))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(res.out); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestFilter_FitsTheKernel: jumps reach their targets, and the kernel's limit is far away.
func TestFilter_FitsTheKernel(t *testing.T) {
	t.Parallel()
	p := filter()
	if len(p) >= unix.BPF_MAXINSNS {
		t.Errorf("%d instructions", len(p))
	}
	for i, f := range p {
		if f.Code&0x07 == unix.BPF_JMP && (i+1+int(max(f.Jt, f.Jf)) >= len(p)) {
			t.Errorf("instruction %d jumps out", i)
		}
	}
}

// TestAttack_SetuidInAWorkspace: no way of setting a file's mode sets those bits, whoever the
// worker is; other modes are left alone.
func TestAttack_SetuidInAWorkspace(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerSeccomp)
	ways := map[string][2]string{ // the call, and what it makes or changes
		"fchmodat": {fmt.Sprintf("libc.syscall(%d, -100, b'%%s', %%s)", unix.SYS_FCHMODAT), "f"}, "fchmodat2": {fmt.Sprintf("libc.syscall(%d, -100, b'%%s', %%s, 0)", unix.SYS_FCHMODAT2), "f"},
		"fchmod": {"os.fchmod(os.open('%s', os.O_RDONLY), %s)", "f"}, "chmod": {"os.chmod('%s', %s)", "f"}, "a folder's": {"os.chmod('%s', %s)", "d"},
		"openat": {"os.open('%s', os.O_CREAT|os.O_WRONLY, %s)", "new1"}, "mknod": {"os.mknod('%s', %s|0o100000)", "new2"},
		"openat, truncating": {"os.open('%s', os.O_CREAT|os.O_TRUNC|os.O_WRONLY, %s)", "new3"},
		"a nameless file":    {"libc.linkat(-100, b'/proc/self/fd/%%d' %% os.open('.', os.O_TMPFILE|os.O_RDWR, %[2]s), -100, b'%[1]s', 0x400)", "new4"},
	}
	for name, way := range ways {
		for mode, plain := range map[string]string{"0o4755": "0o755", "0o2755": "0o755", "0o6755": "0o700"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				program := "import ctypes, os\nlibc = ctypes.CDLL(None)\nopen('f', 'w').close(); os.mkdir('d'); os.umask(0)\n" +
					"try:\n    r = " + fmt.Sprintf(way[0], way[1], mode) + "\nexcept OSError as e:\n    print(e.strerror)\n" + fmt.Sprintf(way[0], way[1], plain)
				s := newSpec(t, python, "-c", program)
				res, err := run(t, s)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(filepath.Join(s.Dir, way[1]))
				if err != nil {
					t.Fatalf("%v: %s", err, res.out)
				}
				want, err := strconv.ParseUint(plain, 0, 32)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || uint64(info.Mode().Perm()) != want {
					t.Errorf("the mode is %v: %s", info.Mode(), res.out)
				}
			})
		}
	}
}
