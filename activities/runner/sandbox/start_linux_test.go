package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

// TestOutcome_IsTheProgramsOwn: its code or signal, whatever it did to its streams.
func TestOutcome_IsTheProgramsOwn(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"exit 0":                           "0",
		"exit 77":                          "77",
		"kill -SEGV $$":                    "SIGSEGV",
		"kill -KILL $$":                    "SIGKILL",
		"exec >&- 2>&-; sleep 0.2; exit 5": "5",
		"(sleep 0.1; exit 9) & exit 3":     "3",
		"ulimit -c":                        "0",
	} {
		res, err := run(t, newSpec(t, "sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		got := res.outcome.Signal
		if res.outcome.ExitCode != nil {
			got = strconv.Itoa(*res.outcome.ExitCode)
		}
		if !res.known || got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

// TestOutcome_CountsWhatThePogramUsed: processor time and memory.
func TestOutcome_CountsWhatTheProgramUsed(t *testing.T) {
	t.Parallel()
	res, err := run(t, newSpec(t, python, "-c", "x = bytearray(100 << 20); s = sum(range(5_000_000))"))
	if err != nil {
		t.Fatal(err)
	}
	if res.outcome.MaxRSSBytes < 100<<20 || res.outcome.MaxRSSBytes > 200<<20 || res.outcome.CPUSeconds <= 0 {
		t.Errorf("got %+v", res.outcome)
	}
}

// TestStart_NamesWhatCannotBeStarted in every mode, as one error.
func TestStart_NamesWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{strictest(), Weakened, Off} {
		s := newSpec(t)
		s.Mode = mode
		if err := os.WriteFile(filepath.Join(s.Dir, "plain"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir, "script"), []byte("#!/no/interpreter\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"no-such-program": "executable file not found in $PATH", "/no/such": "no such file or directory",
			"./plain": "permission denied", "./script": "no such file or directory", "/etc": "is a directory",
		} {
			s.Argv = []string{name}
			_, err := run(t, s)
			if _, ok := errors.AsType[*StartError](err); !ok || err.Error() != fmt.Sprintf("cannot start %q: %s", name, want) {
				t.Errorf("%s: got %v, want %q", mode, err, want)
			}
		}
		s.Argv = []string{"true"}
		if _, err := run(t, s); err != nil {
			t.Errorf("%s: the next one: %v", mode, err)
		}
	}
}

// TestStart_RefusesWhenRequired: with the layer's name and the reason, and nothing ran.
func TestStart_RefusesWhenRequired(t *testing.T) {
	t.Parallel()
	for _, l := range Layers() {
		if !l.Required() {
			continue
		}
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			s := newSpec(t, "touch", "ran")
			s.Mode, s.Without = Required, []Layer{l}
			_, err := run(t, s)
			if schema.CodeOf(err) != schema.CodeUnsupported || !strings.Contains(err.Error(), string(l)+" (") {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(filepath.Join(s.Dir, "ran")); err == nil {
				t.Error("the program ran")
			}
		})
	}
}

// TestStart_GoesOnWithWhatThereIs: without any one layer, the others stay.
func TestStart_GoesOnWithWhatThereIs(t *testing.T) {
	t.Parallel()
	if strictest() != Required {
		testkit.Skip(t, "this host does not give every layer, so that one alone cannot be left out")
	}
	for _, without := range [][]Layer{
		{LayerUser}, {LayerPID}, {LayerMount}, {LayerIPC}, {LayerUTS}, {LayerNetwork}, {LayerProc}, {LayerLandlock}, {LayerSeccomp},
		{LayerUser, LayerPID, LayerMount, LayerIPC, LayerUTS, LayerNetwork},
	} {
		t.Run(fmt.Sprint(without), func(t *testing.T) {
			t.Parallel()
			s := newSpec(t, "sh", "-c", "echo $TMPDIR > f && cat f && grep NoNewPrivs /proc/self/status && touch $TMPDIR/x && (cat /etc/shadow || cat /root/.profile) 2>&1; ls "+t.TempDir()+" 2>&1")
			s.Mode, s.Without = Weakened, without
			if os.Geteuid() != 0 && slices.Contains(without, LayerUser) {
				s.Without = []Layer{LayerUser, LayerPID, LayerMount, LayerIPC, LayerUTS, LayerNetwork}
			}
			res, err := run(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(res.out, "NoNewPrivs:\t1") || strings.Contains(res.out, "root:") || strings.Count(res.out, "denied")+strings.Count(res.out, "No such file") < 3 {
				t.Errorf("got %q", res.out)
			}
			for _, l := range s.Without {
				if !slices.ContainsFunc(res.missing, func(m Status) bool { return m.Layer == l && !m.On && m.Why != "" }) {
					t.Errorf("%s is not named as missing in %v", l, res.missing)
				}
			}
		})
	}
}

// TestStart_ModeOffIsAProcess: in its own session, and nothing else.
func TestStart_ModeOffIsAProcess(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "sh", "-c", "echo $TMPDIR; exit 4")
	s.Mode = Off
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if res.known || res.status.ExitStatus() != 4 || res.out != s.Tmp+"\n" {
		t.Errorf("got %+v", res)
	}
}

// TestStart_DiesWithItsSupervisor: a step whose supervisor is killed leaves nothing.
func TestStart_DiesWithItsSupervisor(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "sh", "-c", "touch running; (setsid sleep 47.11 &); sleep 47.11")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), supervisorDir+"="+s.Dir, supervisorTmp+"="+s.Tmp)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	testkit.Eventually(t, "the end of all that it started", func() bool {
		out, _ := exec.CommandContext(t.Context(), "pgrep", "-f", "sleep 47.11").Output() // none is an error
		return len(out) == 0
	})
}

// TestStart_GivesThePathThatIsThere: PATH lacks folders that the program does not see.
func TestStart_GivesThePathThatIsThere(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	s := newSpec(t, "sh", "-c", "echo $PATH; env | grep -c =")
	s.Env = []string{"PATH=/usr/bin:/root/bin:/no/such:/bin", "ONE=1"}
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if res.out != "/usr/bin:/bin\n4\n" { // plus PWD, which sh sets, and TMPDIR
		t.Errorf("got %q", res.out)
	}
}

// TestLimits_Hold: the limits on file size and open files.
func TestLimits_Hold(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "sh", "-c", "trap '' XFSZ; ulimit -n; head -c 200000 /dev/zero > big 2>/dev/null; stat -c %s big; nproc")
	s.FileBytes, s.CPUs = 100_000, 1
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(res.out)
	if len(f) != 3 || f[1] != "100000" || f[2] != "1" {
		t.Errorf("got %q", res.out)
	}
}

// TestProbe_NamesEveryLayer once, with a reason where it is off.
func TestProbe_NamesEveryLayer(t *testing.T) {
	t.Parallel()
	began := time.Now()
	got := Probe(os.Args[0])
	t.Logf("in %s: %v", time.Since(began), got)
	for i, l := range Layers() {
		if got[i].Layer != l || got[i].On == (got[i].Why != "") {
			t.Errorf("got %+v for %s", got[i], l)
		}
	}
	for _, s := range Probe("/no/such/program") {
		if s.On || s.Why == "" {
			t.Errorf("got %+v from a program that is not there", s)
		}
	}
}

// nested tells the test below that it is the inner one.
const nested = "HOLDFAST_TEST_SANDBOX_NESTED"

// TestAll_AsANormalUser runs this package's tests again as nobody.
func TestAll_AsANormalUser(t *testing.T) {
	if os.Getenv(nested) != "" {
		return // this is the inner one
	}
	if os.Geteuid() != 0 {
		testkit.Skip(t, "the tests run as a normal user, and not as root")
	}
	cmd := testkit.AsNobody(t, "-test.v", "-test.timeout=5m")
	dir := filepath.Dir(cmd.Path)
	if err := os.MkdirAll(filepath.Join(dir, "home", ".ssh", "id_ed25519"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = filepath.Join(dir, "tmp")
	cmd.Env = append(cmd.Env, nested+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIP") || strings.Contains(line, "_test.go") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// TestSecret_IsWhatOthersCannotRead, unless the operator allows it.
func TestSecret_IsWhatOthersCannotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "key": 0o600, "group": 0o640, "deep/key": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "shut"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := unreadable(dir, 1)
	slices.Sort(got)
	if want := []string{dir + "/deep/key", dir + "/group", dir + "/key", dir + "/shut"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if some := secret(dir, 1, []string{dir + "/deep"}); len(some) != 3 || slices.Contains(some, dir+"/deep/key") {
		t.Errorf("got %q without what was named", some)
	}
}
