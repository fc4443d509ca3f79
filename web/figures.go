package web

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/store"
)

// How long counted figures are good for, how long they are shown while they cannot be counted anew, and how long counting
// may take: whoever looks at the metrics gets an answer, also while Postgres is away.
const (
	figuresAge     = 5 * time.Second
	figuresKept    = time.Minute
	figuresTimeout = 2 * time.Second
)

// figures are what is counted in Postgres.
type figures struct {
	read func(ctx context.Context) (store.Figures, error)
	log  *slog.Logger

	mu      sync.Mutex
	latest  *store.Figures
	asked   time.Time
	counted time.Time // the latest
	failing bool
}

// count returns the latest figures, which it counts anew when they are old; nil while there are none that still say something.
func (f *figures) count(ctx context.Context, now time.Time) *store.Figures {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.asked) >= figuresAge {
		f.asked = now
		f.ask(ctx, now)
	}
	if now.Sub(f.counted) > figuresKept {
		return nil
	}
	return f.latest
}

func (f *figures) ask(ctx context.Context, now time.Time) {
	asking, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()
	got, err := f.read(asking)
	switch {
	case err != nil && !f.failing:
		f.failing = true
		f.log.WarnContext(ctx, "what there is cannot be counted", logs.Err(err))
	case err == nil && f.failing:
		f.failing = false
		f.log.InfoContext(ctx, "what there is can be counted again")
	}
	if err == nil {
		f.latest, f.counted = &got, now
	}
}
