package runner_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

const mib = 1 << 20

// flood is a step that takes more than it may, where that might go unnoticed.
type flood struct {
	name   string
	python string
	says   string // in the message
}

// runFloods runs floods one by one and wants each to be ended for the reason.
func runFloods(t *testing.T, floods []flood, limits string, reason schema.Reason, change func(*runner.Options)) {
	t.Helper()
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			script := schema.Marshal([]string{"/usr/bin/python3", "-c", "import ctypes, mmap, os, signal, socket, sys, threading, time\nMiB = b'x' * (1 << 20)\n" + f.python + "\ntime.sleep(60)"})
			b := newBench(t, limits+`"timeout":"40s","run":`+string(script))
			b.r = b.newRunner(func(o *runner.Options) { o.Sandbox = sandbox.Isolated; change(o) })
			t.Cleanup(func() { _ = snapshot.RemoveTree(b.dir) }) // even what is unreadable
			result := b.run()
			if result.Status != schema.AttemptFailed || result.Reason != reason || !strings.Contains(result.Message, f.says) {
				t.Errorf("%+v, printed %s%s", result, b.output(schema.Stdout), b.output(schema.Stderr))
			}
			if _, err := os.Stat(filepath.Join(b.dir, "steps", b.ask.RunID)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its folder stays: %v", err)
			}
		})
	}
}

// hide makes the program's descriptors unreadable to other processes of its user.
const hide = "ctypes.CDLL(None).prctl(4, 0)\n" // PR_SET_DUMPABLE

// TestAttack_DiskBesideTheWorkspace: what a step keeps on the disk counts wherever it is.
func TestAttack_DiskBesideTheWorkspace(t *testing.T) {
	t.Parallel()
	const nameless = "def fill(path, n=40):\n f = os.open(path, os.O_RDWR | os.O_CREAT)\n os.unlink(path)\n for i in range(n): os.write(f, MiB)\n return f\n"
	const write = "for f in fs:\n f.write(MiB * 10)\n f.flush()"
	const open = "the set of deleted files still open takes "
	runFloods(t, []flood{
		{"tmp", "for i in range(4): open(f'/tmp/{i}', 'wb').write(MiB * 10)", "/tmp takes "},
		{"both", "open('a', 'wb').write(MiB * 12)\nopen('/tmp/b', 'wb').write(MiB * 12)", " in total; the limit is "},
		{"deleted in the workspace", nameless + "a, b = fill('a', 15), fill('b', 15)", open},
		{"deleted in tmp", nameless + "a, b = fill('/tmp/a', 15), fill('/tmp/b', 15)", open},
		{"never named", "fs = [os.open('.', os.O_TMPFILE | os.O_RDWR) for i in range(3)]\nfor f in fs: os.write(f, MiB * 10)", open},
		{"deleted by a process that hides", hide + nameless + "a, b = fill('a', 15), fill('b', 15)", open},
		{"deleted by a child of a daemon", nameless + "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  a, b = fill('a', 15), fill('b', 15)\n  time.sleep(60)\n os._exit(0)", open},
		{"deleted and mapped", nameless + "kept = []\nfor n in 'abc':\n f = fill(n, 10)\n kept.append(mmap.mmap(f, 10 << 20))\n os.close(f)", open},
		{"a folder of mode 0", "os.mkdir('shut')\nfs = [open(f'shut/{i}', 'wb') for i in range(3)]\nos.chmod('shut', 0)\n" + write, "the workspace takes "},
		{"a folder that is not to be searched", "os.makedirs('shut/in')\nfs = [open(f'shut/in/{i}', 'wb') for i in range(3)]\nos.chmod('shut/in', 0o400)\nos.chmod('shut', 0o400)\n" + write, "the workspace takes "},
		{"a tmp of mode 0", "fs = [open(f'/tmp/{i}', 'wb') for i in range(3)]\nos.chmod('/tmp', 0)\n" + write, "/tmp takes "},
		{"a long path", "for i in range(40):\n os.mkdir('d' * 200)\n os.chdir('d' * 200)\nfor i in range(3): open(str(i), 'wb').write(MiB * 10)", "the workspace takes "},
		{"a deep path", "for i in range(400):\n os.mkdir('d')\n os.chdir('d')\nfor i in range(3): open(str(i), 'wb').write(MiB * 10)", "it made more than 256 nested folders"},
		{"a long path in tmp, shut", "os.chdir('/tmp')\nfor i in range(40):\n os.mkdir('d' * 200)\n os.chdir('d' * 200)\nfs = [open(str(i), 'wb') for i in range(3)]\nos.chmod('.', 0)\n" + write, "/tmp takes "},
	}, "", schema.ReasonDiskQuota, func(o *runner.Options) { o.QuotaBytes = 20 * mib })
	runFloods(t, []flood{
		{"files in tmp", "for i in range(600): open(f'/tmp/{i}', 'w')", "/tmp has "},
		{"files without a name", "fs = [os.open('.', os.O_TMPFILE | os.O_RDWR) for i in range(600)]", "the set of deleted files still open has "},
	}, "", schema.ReasonDiskQuota, func(o *runner.Options) { o.QuotaFiles = 500 })
}

// TestAttack_MemoryInFiles: memory counts whether it is a process's own or a file's. Where the
// kernel does not count it, the supervisor does.
func TestAttack_MemoryInFiles(t *testing.T) {
	t.Parallel()
	const memfd = "def fill(n):\n f = os.memfd_create('m')\n for i in range(n): os.write(f, MiB)\n return f\n"
	const segments = "libc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nlibc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]\n" +
		"def seg(n): return libc.shmget(0, ctypes.c_size_t(n), 0o1600)\n"
	runFloods(t, []flood{
		{"memfd", memfd + "fs = [fill(40) for i in range(4)]", "of memory"},
		{"memfd of a process that hides", hide + memfd + "fs = [fill(40) for i in range(4)]", "of memory"},
		{"memfd that is mapped", memfd + "kept = []\nfor i in range(4):\n f = fill(40)\n m = mmap.mmap(f, 40 << 20)\n m[:] = bytes(40 << 20)\n kept.append(m)\n os.close(f)", "of memory"},
		{"segments that nobody has attached", segments + "for i in range(4):\n at = libc.shmat(seg(40 << 20), None, 0)\n ctypes.memset(at, 1, 40 << 20)\n libc.shmdt(ctypes.c_void_p(at))", "of memory"},
		{"segments", segments + "for i in range(4): ctypes.memset(libc.shmat(seg(40 << 20), None, 0), 1, 40 << 20)", "of memory"},
		{"shm and own", "open('/dev/shm/a', 'wb').write(MiB * 45)\nx = bytearray(70 << 20)", "of memory"},
		{"shm, deleted", "f = open('/dev/shm/a', 'wb')\nos.unlink('/dev/shm/a')\nf.write(MiB * 45)\nf.flush()\nx = bytearray(70 << 20)", "of memory"},
		{"shared mappings", "ms = [mmap.mmap(-1, 40 << 20) for i in range(4)]\nfor m in ms: m[:] = bytes(40 << 20)", "of memory"},
		{"a process whose first thread has ended", "def run():\n time.sleep(1)\n x = bytearray(150 << 20)\n time.sleep(60)\nthreading.Thread(target=run).start()\nctypes.CDLL(None).pthread_exit(None)", "of memory"},
	}, `"memory":"100MiB",`, schema.ReasonOutOfMemory, func(*runner.Options) {})
}

// TestAttack_OutputWithoutEnd: a step that prints more than is kept is ended, and its output until
// then is there. The same goes for one that has already ended by itself.
func TestAttack_OutputWithoutEnd(t *testing.T) {
	t.Parallel()
	const most = 3 * mib
	for name, step := range map[string]string{
		"a flood":                  `"shell":"while :; do echo 0123456789012345678901234567890; done"`,
		"a flood by another":       `"shell":"yes 0123456789012345678901234567890 & sleep 50"`,
		"one that ends":            `"shell":"yes 0123456789012345678901234567890 | head -c 3145729"`,
		"one that ignores signals": `"shell":"trap '' TERM PIPE; yes 0123456789012345678901234567890"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `"timeout":"60s",`+step)
			b.r = b.newRunner(func(o *runner.Options) { o.OutputBytes = most })
			result := b.run()
			out := b.output(schema.Stdout)
			if result.Status != schema.AttemptFailed || result.Reason != schema.ReasonOutputLimit || result.Message != "it printed more than 3 MiB" {
				t.Errorf("%+v", result)
			}
			if want := strings.Repeat("0123456789012345678901234567890\n", most/32); out != want {
				t.Errorf("%d bytes of output are kept, of %d", len(out), most)
			}
		})
	}
	t.Run("in turns", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"timeout":"60s","run":["/usr/bin/python3","-c","import os\nwhile True: os.write(1, b'o'); os.write(2, b'e')"]`)
		b.r = b.newRunner(func(o *runner.Options) { o.OutputBytes = 64 << 10 })
		if result := b.run(); result.Reason != schema.ReasonOutputLimit || b.count(schema.EventOutput) > 300 {
			t.Errorf("%+v, with %d events", result, b.count(schema.EventOutput))
		}
	})
	t.Run("exactly what it may", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"shell":"yes 0123456789012345678901234567890 | head -c 3145728"`)
		b.r = b.newRunner(func(o *runner.Options) { o.OutputBytes = most })
		if result := b.run(); result.Status != schema.AttemptSucceeded || len(b.output(schema.Stdout)) != most {
			t.Errorf("%+v", result)
		}
	})
}

// TestRun_SharedMemoryCountsOnce: however many processes have it.
func TestRun_SharedMemoryCountsOnce(t *testing.T) {
	t.Parallel()
	script := schema.Marshal([]string{"/usr/bin/python3", "-c", `
import mmap, os, time
f = os.memfd_create('m'); os.ftruncate(f, 60 << 20)
shm = os.open('/dev/shm/a', os.O_RDWR | os.O_CREAT); os.ftruncate(shm, 40 << 20)
for m in (mmap.mmap(f, 60 << 20), mmap.mmap(shm, 40 << 20)): m[:] = b'x' * len(m); m.close()
for i in range(4):
    if os.fork() == 0:
        a, b = mmap.mmap(f, 60 << 20), mmap.mmap(shm, 40 << 20)
        a[0] + sum(a[::4096]) + sum(b[::4096])
        time.sleep(2.5); os._exit(0)
for i in range(4): os.wait()
`})
	b := newBench(t, `"memory":"250MiB","run":`+string(script))
	began := time.Now()
	if result := b.run(); result.Status != schema.AttemptSucceeded {
		t.Errorf("%+v after %v: %s", result, time.Since(began), b.output(schema.Stderr))
	}
}

// TestAttack_FloodsOfANormalUser plays the floods again with a worker that runs as nobody, which
// may look into less.
func TestAttack_FloodsOfANormalUser(t *testing.T) {
	const nested = "HOLDFAST_TEST_FLOODS_OF_NOBODY"
	if os.Getenv(nested) != "" {
		return // this is the inner one
	}
	if os.Geteuid() != 0 {
		testkit.Skip(t, "the tests run as a normal user, and not as root")
	}
	cmd := testkit.AsNobody(t, "-test.v", "-test.timeout=8m", "-test.run=^(TestAttack_(Disk|Memory|Output)|TestRun_SharedMemory)")
	cmd.Env = append(cmd.Env, nested+"=1", testkit.Supervisor+"="+supervise)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
