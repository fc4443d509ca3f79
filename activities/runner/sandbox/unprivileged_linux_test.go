package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAttack_StepOfARootWorkerIsNobody: to the host, whatever it seems to be inside. On the disk,
// the workspace stays the worker's, with its earlier contents.
func TestAttack_StepOfARootWorkerIsNobody(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerUser, LayerMount)
	s := newSpec(t, "sh", "-c", "set -e; cat /proc/self/uid_map; echo more >> kept/old; echo new > kept/new; touch /tmp/x; rm gone; chmod 750 kept/old; stat -c %u kept/old kept/new kept; id -u")
	kept := filepath.Join(s.Dir, "kept")
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(kept, "old"), filepath.Join(s.Dir, "gone")} {
		if err := os.WriteFile(name, []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(res.out)
	if len(f) != 7 || f[1] == "0" || f[3] != f[6] || f[4] != f[6] || f[5] != f[6] || !res.known || res.outcome.ExitCode == nil || *res.outcome.ExitCode != 0 {
		t.Fatalf("got %q, %+v", res.out, res.outcome)
	}
	for _, name := range []string{"old", "new", ""} {
		info, err := os.Stat(filepath.Join(kept, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Geteuid() && int(st.Uid) != stepID {
			t.Errorf("%q is %d's", name, st.Uid)
		}
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		t.Error(err)
	}
}

// TestOpenTrees_GivesFilesAwayWhereItMust: and takes them back where the file system can map owners
// for a step.
func TestOpenTrees_GivesFilesAwayWhereItMust(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // a worker that is not root gives nothing away
	}
	needLayers(t, LayerUser, LayerMount)
	s := newSpec(t)
	inner := filepath.Join(s.Dir, "a", "b")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(inner, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		exe   string
		owner int
	}{{"/no/such/program", stepID}, {os.Args[0], 0}} {
		_, files, err := s.openTrees(c.exe)
		if err != nil {
			t.Fatal(err)
		}
		closeFiles(files)
		for _, name := range []string{s.Dir, inner, filepath.Join(inner, "link"), s.Tmp} {
			var st syscall.Stat_t
			if err := syscall.Lstat(name, &st); err != nil || int(st.Uid) != c.owner || int(st.Gid) != c.owner {
				t.Errorf("with %s: %s is %d's, %v", c.exe, name, st.Uid, err)
			}
		}
	}
	if info, err := os.Stat("/etc/passwd"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("what a link leads to was given away")
	}
}
