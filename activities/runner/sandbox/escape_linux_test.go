package sandbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

const python = "/usr/bin/python3"

// needLayers skips a test if the host lacks the layers that it is about.
func needLayers(t *testing.T, layers ...Layer) {
	t.Helper()
	for _, s := range Probe(os.Args[0]) {
		for _, l := range layers {
			if s.Layer == l && !s.On {
				testkit.Skip(t, fmt.Sprintf("this host does not give the layer %s: %s", l, s.Why))
			}
		}
	}
}

// TestStep_SeesNothingOfOthersFiles: what a step tries to read, and what it gets.
func TestStep_SeesNothingOfOthersFiles(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	s := newSpec(t)
	theirs := filepath.Join(filepath.Dir(s.Dir), "theirs")
	if err := os.MkdirAll(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs, "secret"), []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	const gone, denied = "No such file or directory", "Permission denied"
	for name, c := range map[string]struct{ script, want string }{
		"another session's workspace":        {"cat " + theirs + "/secret", gone},
		"the list of workspaces":             {"ls " + filepath.Dir(s.Dir), "mine"},
		"the data dir":                       {"ls " + filepath.Dir(filepath.Dir(s.Dir)), "workspaces"},
		"the server's home":                  {"ls " + home, gone},
		"ssh keys":                           {"cat " + home + "/.ssh/id_ed25519", gone},
		"shadow":                             {"cat /etc/shadow", gone},
		"private keys":                       {"ls /etc/ssl/private", gone},
		"a link out of the workspace":        {"ln -s " + theirs + "/secret l; cat l", gone},
		"the root by dots":                   {"cat ../theirs/secret", gone},
		"the host's root through PID 1":      {"ls /proc/1/root/", denied},
		"PID 1's environment":                {"cat /proc/1/environ", denied},
		"PID 1's descriptors":                {"cat /proc/1/fd/3", denied},
		"PID 1's memory":                     {"cat /proc/1/mem", denied},
		"kernel memory":                      {"cat /dev/mem /dev/kmem", gone},
		"the kernel's log":                   {"cat /proc/kmsg", denied},
		"the kernel's keys":                  {"cat /proc/keys", denied},
		"the host's /tmp":                    {"ls /tmp | grep -v ^Test; ls -d /tmp", "/tmp"},
		"disks":                              {"ls /dev/vda /dev/sda", gone},
		"block devices made anew":            {"mknod d b 254 0", "not permitted"},
		"the rest of /":                      {"ls /root /home /var/lib /boot /srv /mnt", gone},
		"other descriptors than its own":     {"ls /proc/self/fd | sort | tr '\\n' ' '", "0 1 2 3"}, // 3 is ls's
		"sysfs":                              {"ls /sys/kernel", gone},
		"an open door left by the directory": {"cd /; cd ../../..; ls root", gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := *s
			s.Argv = []string{"sh", "-c", c.script + " 2>&1"}
			s.Tmp = t.TempDir()
			res, err := run(t, &s)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(res.out, c.want) || strings.Contains(res.out, "SECRET") || strings.Contains(res.out, "theirs\n") {
				t.Errorf("%s: got %q, want %q", c.script, res.out, c.want)
			}
		})
	}
}

// TestStep_WritesNowhereElse: the system is read-only, and what it may write is its own.
func TestStep_WritesNowhereElse(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	const ro = "Read-only file system"
	for script, want := range map[string]string{
		"touch /usr/bin/x": ro, "touch /etc/x": ro, "echo x >> /etc/passwd": ro, "touch /x": ro, "mkdir /root": ro, "touch /dev/x": ro,
		"touch /opt/x": ro, "chmod 777 /etc/hosts": ro, "touch /run/x": ro,
		"echo x > /proc/sys/kernel/core_pattern": ro, "echo 1 > /proc/sys/user/max_user_namespaces": ro,
		"echo -1000 > /proc/self/oom_score_adj":             "Permission denied",
		"touch here /tmp/there /dev/shm/yonder":             "",
		"echo x > $HOME/y && mv $HOME/y /tmp/z":             "",
		"mkdir a b && touch a/f && ln a/f b/g && ls b":      "g\n",
		"echo x > /dev/null; head -c1 /dev/urandom | wc -c": "1\n",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			got := sh(t, "("+script+") 2>&1")
			if want == ro && os.Geteuid() != 0 {
				got = strings.ReplaceAll(got, "Permission denied", ro) // the system is not its own to begin with
			}
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestStep_KillsNobodyOutside: kill -9 -1 does not reach beyond the step.
func TestStep_KillsNobodyOutside(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerPID)
	victim := exec.CommandContext(t.Context(), "sleep", "60")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = victim.Process.Kill(); _ = victim.Wait() })
	script := fmt.Sprintf("kill -0 %d 2>&1; ls -d /proc/%d 2>&1; ps -e | wc -l; for s in $(seq 1 64); do kill -$s 1; done 2>/dev/null; sleep 0.2; echo alive; sleep 60 & kill -9 -1; wait; exit 0", victim.Process.Pid, victim.Process.Pid)
	res, err := run(t, newSpec(t, "sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"No such process", "No such file", "alive"} {
		if !strings.Contains(res.out, want) {
			t.Errorf("got %q, want %q in it", res.out, want)
		}
	}
	// kill(-1) spares its caller.
	if !res.known || res.outcome.ExitCode == nil || *res.outcome.ExitCode != 0 {
		t.Errorf("the step ended as %+v", res.outcome)
	}
	if err := victim.Process.Signal(os.Signal(syscall.Signal(0))); err != nil {
		t.Errorf("the process outside was killed: %v", err)
	}
}

// TestStep_NetworkIsOff: only its own loopback, which works.
func TestStep_NetworkIsOff(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerNetwork)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abstract, err := net.Listen("unix", "@holdfast-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	port := l.Addr().(*net.TCPAddr).Port
	program := fmt.Sprintf(`
import socket, threading
def attempt(name, family, address, kind=socket.SOCK_STREAM):
    try:
        s = socket.socket(family, kind); s.settimeout(2); s.connect(address); print(name, "connected")
    except OSError as e:
        print(name, e.strerror or e)
attempt("server", socket.AF_INET, ("127.0.0.1", %d))
attempt("internet", socket.AF_INET, ("192.0.2.1", 80))
attempt("v6", socket.AF_INET6, ("2001:db8::1", 80))
attempt("abstract", socket.AF_UNIX, "\0%s")
attempt("vsock", 40, (2, 22))
attempt("packet", 17, ("lo", 0), socket.SOCK_RAW)
l = socket.create_server(("127.0.0.1", 0))
attempt("own", socket.AF_INET, l.getsockname())
`, port, abstract.Addr().String()[1:])
	res, err := run(t, newSpec(t, python, "-c", program))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"server Connection refused", "internet Network is unreachable", "v6 ", "abstract ", "vsock Address family not supported", "packet Address family not supported", "own connected"} {
		if !strings.Contains(res.out, w) {
			t.Errorf("got %q, want %q in it", res.out, w)
		}
	}
	if strings.Contains(res.out, "abstract connected") {
		t.Error("a socket of the host's could be reached")
	}
}

// TestStep_HasNoPrivileges: what /proc says about a program, and what setuid gives.
func TestStep_HasNoPrivileges(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerCapabilities, LayerNoNewPrivs, LayerSeccomp)
	out := sh(t, `grep -E "^(Cap|NoNewPrivs|Seccomp:|SigIgn|SigBlk)" /proc/self/status | tr -d '\t' | tr '\n' ' '; id -u; (su -c "echo rooted" root; mount -t tmpfs x /tmp; unshare -U id; unshare -r id; hostname evil) 2>&1; hostname`)
	for _, want := range []string{"CapInh:0000000000000000", "CapPrm:0000000000000000", "CapEff:0000000000000000", "CapBnd:0000000000000000", "CapAmb:0000000000000000", "NoNewPrivs:1", "Seccomp:2", "holdfast\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	// Signals 32 and up belong to the C library: the process that started the tests may have left
	// its own ignored, and Go passes that on.
	for _, name := range []string{"SigIgn:", "SigBlk:"} {
		_, set, _ := strings.Cut(out, name)
		mask, err := strconv.ParseUint(strings.Fields(set + " ")[0], 16, 64)
		if usual := uint64(1<<31 - 1); err != nil || mask&usual != 0 {
			t.Errorf("got %q: %s of the usual signals, %v", out, name, err)
		}
	}
	for _, bad := range []string{"rooted", "uid=0", "evil\n"} {
		if strings.Contains(out, bad) {
			t.Errorf("got %q, with %q in it", out, bad)
		}
	}
}

// TestStep_ForkBombIsBounded: the host and the report survive it.
func TestStep_ForkBombIsBounded(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerPIDs)
	const bomb = `
import os, sys, time
n = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
        n += 1
except OSError as e:
    print(n, e.strerror)
`
	s := newSpec(t, python, "-c", bomb)
	s.Processes = 50
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(res.out, &n); err != nil || n > s.Processes+reservedPIDs+initThreads || !strings.Contains(res.out, "Resource temporarily unavailable") {
		t.Errorf("got %q, want at most %d processes and an error", res.out, s.Processes+reservedPIDs)
	}
	if !res.known || res.outcome.ExitCode == nil || *res.outcome.ExitCode != 0 {
		t.Errorf("the end was reported as %+v", res.outcome)
	}
}

// TestStep_LeavesNobodyBehind: a daemon in its own session ends with the step.
func TestStep_LeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerPID)
	mark := fmt.Sprintf("%d.%d", 1000+os.Getpid(), time.Now().UnixNano()%1000000)
	res, err := run(t, newSpec(t, "sh", "-c", "(setsid sh -c 'trap \"\" TERM HUP; sleep "+mark+" & exec >/dev/null 2>&1; sleep "+mark+"' &) ; sleep 0.1; pgrep -fc 'sleep "+mark+"'"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(res.out)); err != nil || n < 1 {
		t.Fatalf("the daemon did not run: %q", res.out)
	}
	left, _ := exec.CommandContext(t.Context(), "pgrep", "-f", "sleep "+mark).Output() // it fails if there is none
	if len(left) > 0 {
		t.Errorf("the step left %s behind", left)
	}
}

// TestStep_TmpIsItsOwn: private, and gone when the supervisor removes the folder.
func TestStep_TmpIsItsOwn(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	name := "holdfast-" + strconv.Itoa(os.Getpid())
	s := newSpec(t, "sh", "-c", "echo x > /tmp/"+name+" && echo y > /var/tmp/"+name+"2 && ls /tmp | grep holdfast; echo $TMPDIR; mktemp")
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if want := name + "\n" + name + "2\n/tmp\n/tmp/tmp."; !strings.HasPrefix(res.out, want) {
		t.Errorf("got %q, want %q", res.out, want)
	}
	if _, err := os.Stat(filepath.Join(s.Tmp, name)); err != nil {
		t.Errorf("the step's /tmp is not its folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join("/tmp", name)); err == nil {
		t.Error("the step wrote to the host's /tmp")
	}
}

// TestStep_UnpacksForeignOwners: archives of other people's files unpack as the step's own.
func TestStep_UnpacksForeignOwners(t *testing.T) {
	t.Parallel()
	out := sh(t, "echo x > f && tar --owner=4711 --group=4712 -cf a.tar f && rm f && tar -xf a.tar && cat f && stat -c %u f | grep -c $(id -u)")
	if out != "x\n1\n" {
		t.Errorf("got %q", out)
	}
}

// TestStep_HidesTheServersFolders: even inside a folder that programs see.
func TestStep_HidesTheServersFolders(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	s := newSpec(t)
	shared := t.TempDir()
	data := filepath.Join(shared, "data")
	s.Dir = filepath.Join(data, "workspaces", "mine")
	for _, dir := range []string{s.Dir, filepath.Join(data, "workspaces", "theirs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(shared, "given"), []byte("given\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.ReadOnly, s.Hidden = []string{shared, "/not/there"}, []string{data, "/also/not/there"}
	s.Argv = []string{"sh", "-c", "cat " + shared + "/given; ls " + data + "/workspaces; touch here; (touch " + shared + "/x; touch " + data + "/x) 2>&1 | grep -c Read-only"}
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if res.out != "given\nmine\n2\n" {
		t.Errorf("got %q", res.out)
	}
}

// TestStep_ReachesItsSocket: a socket in a read-only folder accepts connections, with the network
// off.
func TestStep_ReachesItsSocket(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Weakened, Off} {
		s := newSpec(t, python, "-c", `
import os, socket
s = socket.socket(socket.AF_UNIX); s.connect(os.environ["HOLDFAST_SOCKET"]); print(s.recv(9).decode())`)
		s.Mode = mode
		s.Env = append(s.Env, "HOLDFAST_SOCKET="+SocketDir+"/socket")
		s.Socket = t.TempDir()
		l, err := net.Listen("unix", filepath.Join(s.Socket, "socket"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Write([]byte("hello")) // the program prints what it got
				_ = c.Close()
			}
		}()
		res, err := run(t, s)
		_ = l.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.out != "hello\n" {
			t.Errorf("%s: got %q", mode, res.out)
		}
	}
}
