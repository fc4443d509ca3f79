package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Fifty sessions at once, each with its own marker: every viewer sees its own, all of it,
// in order, and nothing else.
func TestSessions_FiftyAtOnceDoNotMix(t *testing.T) {
	t.Parallel()
	const sessions, each = 50, 80
	s := newStack(t)
	viewers := make([]*viewer, sessions)
	var starting sync.WaitGroup
	for i := range viewers {
		starting.Go(func() {
			plan := fmt.Sprintf(`{"steps":[{"id":"mark","shell":"i=1; while [ $i -le %d ]; do echo marker-%d $i; i=$((i+1)); sleep 0.05; done"}]}`, each, i)
			viewers[i] = s.watch(s.start(plan, nil))
		})
	}
	starting.Wait()
	for i, v := range viewers {
		seen := v.awaitType("workflow_completed")
		var want strings.Builder
		for n := 1; n <= each; n++ {
			fmt.Fprintf(&want, "marker-%d %d\n", i, n)
		}
		if got := printed(t, seen, "mark", 1); got != want.String() {
			t.Errorf("session %d printed\n%s", i, got)
		}
		for _, e := range seen {
			if e.SessionID != v.session {
				t.Errorf("viewer of %s saw an event of %s", v.session, e.SessionID)
			}
		}
	}
}
