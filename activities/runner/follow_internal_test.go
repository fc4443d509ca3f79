//go:build unix

package runner

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// A supervisor says how the program ended and is gone the next moment: whenever that is seen, it is
// an end and not a loss.
func TestFollow_AnExitInTheLastMomentIsAnExit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &Runner{ctx: context.Background(), o: Options{CheckEvery: time.Minute}}
	run := &running{}
	for range 20_000 {
		ours, theirs := net.Pipe()
		s := newSupervised(dir, ours)
		go func() {
			_ = json.NewEncoder(theirs).Encode(supervisor.Report{Is: supervisor.IsExited, Exit: &supervisor.Exit{Signal: "SIGHUP"}})
			_ = theirs.Close()
		}()
		exit, err := r.follow(run, s, 1, 0)
		if err != nil || exit.Signal != "SIGHUP" {
			t.Fatalf("%+v, %v", exit, err)
		}
	}
	for _, left := range []string{dir, filepath.Join(dir, "gone")} { // with the folder, too
		_, err := r.follow(run, abandoned(left), 1, 0)
		if !run.lose(err) || run.lost != schema.ReasonSupervisor {
			t.Fatalf("one that says nothing: %v", err)
		}
	}
}
