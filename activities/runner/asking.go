//go:build unix

package runner

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// relayAsks carries the program's questions to people and their answers back, until ctx or the
// connection ends. Questions still unanswered come again with the next worker.
func (r *Runner) relayAsks(ctx context.Context, step *schema.RunStep, attempt int, s *supervised) {
	var all sync.WaitGroup
	defer all.Wait()
	for ask := range s.asks {
		if r.o.Asker == nil {
			s.order(supervisor.Order{Do: supervisor.DoAnswer, Answer: &supervisor.Answer{ID: ask.ID, Error: "this worker cannot ask anybody"}})
			continue
		}
		all.Go(func() {
			const (
				firstWait = 50 * time.Millisecond
				longest   = 2 * time.Second
			)
			for wait := firstWait; ; wait = min(2*wait, longest) {
				answer, err := r.o.Asker.Ask(ctx, step, attempt, ask)
				if err == nil {
					answer.ID = ask.ID
					s.order(supervisor.Order{Do: supervisor.DoAnswer, Answer: &answer})
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
		})
	}
}
