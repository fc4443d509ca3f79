package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
)

// TestAttack_SecretsReplacedByRename: if an administrator's tools replace a hidden file while a
// step runs, as useradd does with /etc/shadow, the new file is hidden too.
func TestAttack_SecretsReplacedByRename(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root has files there, and the copy is the same
	}
	needLayers(t, LayerMount, LayerLandlock)
	if os.Getenv(onHost) == "" { // its own mounts: the host's /etc must not be touched
		inMounts(t, t.Name())
		return
	}
	for _, dir := range []string{"/etc", "/opt"} {
		files := t.TempDir()
		if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+mustMkdir(t, files, "upper")+",workdir="+mustMkdir(t, files, "work")); err != nil {
			testkit.Skip(t, "this kernel has no overlays: "+err.Error())
		}
	}
	secrets := []string{"/etc/shadow", "/etc/holdfast.env", "/etc/ssl/private.key", "/opt/holdfast.env", "/opt/app/key"}
	if err := os.MkdirAll("/opt/app", 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name string) {
		if err := os.WriteFile(name, []byte("SECRET\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range secrets {
		put(name)
	}
	s := newSpec(t, "sh", "-c", "touch running; while [ ! -e replaced ]; do sleep 0.05; done; cat "+strings.Join(secrets, " ")+" 2>&1; cat /proc/self/uid_map; id -u")
	go func() {
		running(t, s)
		for _, name := range secrets {
			put(name + "+")
			if err := os.Rename(name+"+", name); err != nil {
				t.Error(err)
			}
		}
		put(filepath.Join(s.Dir, "replaced"))
	}()
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(res.out, "SECRET") {
		t.Errorf("got %s", res.out)
	}
}

func mustMkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestStep_HasAnEtcOfItsOwn: what programs need is there, and nothing else.
func TestStep_HasAnEtcOfItsOwn(t *testing.T) {
	t.Parallel()
	needLayers(t, LayerMount)
	out := sh(t, `ls /etc; getent passwd $(id -u) | cut -d: -f1; getent hosts localhost >/dev/null && echo resolves; cat /etc/hostname; touch /etc/x 2>&1`)
	for _, want := range []string{"passwd\n", "group\n", "resolv.conf\n", "ld.so.cache\n", "holdfast\n", "resolves\n", "Read-only"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	for _, bad := range []string{"shadow", "crontab", "sudoers", "machine-id", "ssh\n"} {
		if strings.Contains(out, bad) {
			t.Errorf("got %q, with %q in it", out, bad)
		}
	}
}
