package sandbox

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// result is what a program printed and how it ended.
type result struct {
	out     string
	outcome Outcome
	known   bool // init reported
	status  syscall.WaitStatus
	missing []Status
}

// strictest is the mode for testing on a host that gives every layer.
var strictest = sync.OnceValue(func() Mode {
	for _, s := range Probe(os.Args[0]) {
		if !s.On && s.Layer.Required() {
			return Weakened
		}
	}
	return Required
})

func newSpec(t testing.TB, argv ...string) *Spec {
	t.Helper()
	data := t.TempDir()
	s := &Spec{
		Mode: strictest(), Argv: argv, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin:/root/.pyenv/shims", "LANG=C.UTF-8"},
		Dir: filepath.Join(data, "workspaces", "mine"), Tmp: filepath.Join(data, "tmp"),
	}
	for _, dir := range []string{s.Dir, s.Tmp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Env = append(s.Env, "HOME="+s.Dir)
	return s
}

// run runs a step to its end, as a supervisor does.
func run(t testing.TB, s *Spec) (*result, error) {
	t.Helper()
	return runWith(t, s, func(link *os.File) { _ = link.Close() })
}

// runWith runs a step whose network somebody serves.
func runWith(t testing.TB, s *Spec, serve func(link *os.File)) (*result, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	printed := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r) // what was read before a failure counts
		printed <- string(b)
	}()
	type started struct {
		res *result
		err error
	}
	ended := make(chan started, 1)
	go func() {
		// The parent-death signal is tied to the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c, err := s.Start(os.Args[0], w, w)
		_ = w.Close()
		if err != nil {
			ended <- started{err: err}
			return
		}
		if c.Link != nil {
			serve(c.Link)
		}
		res := &result{missing: c.Missing}
		for {
			if _, err := syscall.Wait4(c.Pid, &res.status, 0, nil); err != syscall.EINTR {
				break
			}
		}
		res.outcome, res.known = c.Outcome()
		ended <- started{res: res, err: c.Close()}
	}()
	select {
	case e := <-ended:
		out := <-printed
		if e.res != nil {
			e.res.out = out
		}
		return e.res, e.err
	case <-time.After(60 * time.Second):
		return nil, errors.New("the step does not end")
	}
}

func sh(t testing.TB, script string) string {
	t.Helper()
	res, err := run(t, newSpec(t, "sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	return res.out
}
