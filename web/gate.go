package web

import (
	"context"
	"sync"
)

// gate lets a bounded number of callers in for each key at once; the others wait for as
// long as their contexts allow. The zero value is not usable: see newGate.
type gate struct {
	most int

	mu    sync.Mutex
	rooms map[string]*room // of the keys somebody is at
}

type room struct {
	places chan struct{}
	at     int // callers that are in or wait
}

func newGate(most int) *gate { return &gate{most: most, rooms: map[string]*room{}} }

// enter waits for a place and returns what gives it back. Its error is that of ctx.
func (g *gate) enter(ctx context.Context, key string) (leave func(), err error) {
	g.mu.Lock()
	r := g.rooms[key]
	if r == nil {
		r = &room{places: make(chan struct{}, g.most)}
		g.rooms[key] = r
	}
	r.at++
	g.mu.Unlock()
	select {
	case r.places <- struct{}{}:
		return func() { <-r.places; g.gone(key, r) }, nil
	case <-ctx.Done():
		g.gone(key, r)
		return nil, ctx.Err()
	}
}

func (g *gate) gone(key string, r *room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.at--; r.at == 0 {
		delete(g.rooms, key)
	}
}
