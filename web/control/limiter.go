package control

import (
	"context"
	"sync"

	"github.com/holdfast/holdfast/internal/testsignal"
)

// limiter lets a bounded number of callers in for each key at once; the others wait for as
// long as their contexts allow. The zero value is not usable: see newLimiter.
type limiter struct {
	most int

	mu     sync.Mutex
	queues map[string]*queue // of the keys somebody is at

	waits testsignal.Signal // a caller finds no place
}

type queue struct {
	places chan struct{}
	at     int // callers that are in or wait
}

func newLimiter(most int) *limiter { return &limiter{most: most, queues: map[string]*queue{}} }

// enter waits for a place and returns what gives it back. Its error is that of ctx.
func (g *limiter) enter(ctx context.Context, key string) (leave func(), err error) {
	g.mu.Lock()
	r := g.queues[key]
	if r == nil {
		r = &queue{places: make(chan struct{}, g.most)}
		g.queues[key] = r
	}
	r.at++
	g.mu.Unlock()
	leave = func() { <-r.places; g.gone(key, r) }
	select {
	case r.places <- struct{}{}:
		return leave, nil
	default:
		g.waits.Signal()
	}
	select {
	case r.places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		g.gone(key, r)
		return nil, ctx.Err()
	}
}

func (g *limiter) gone(key string, r *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.at--; r.at == 0 {
		delete(g.queues, key)
	}
}
