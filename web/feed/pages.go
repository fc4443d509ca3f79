package feed

import (
	"context"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// pages are parts of a log that is older than the ring: read once for all who are behind,
// such as a thousand clients that reconnect together. The log never changes, so any part of
// it stays right.
//
// A page is found by the seq before its first event. A reader that comes from nowhere starts
// at a multiple of pageEvents, so that readers share pages wherever they start; one that
// has read a page goes on where it ended, which may be anywhere: large events cut it short.
type pages struct {
	held    map[int64]*segment
	order   []int64 // of arrival, the oldest first
	bytes   int
	loading map[int64]*loading
}

type loading struct {
	done chan struct{}
	err  error
}

func newPages() pages {
	return pages{held: map[int64]*segment{}, loading: map[int64]*loading{}}
}

// find returns the page with the event after pos and where it starts, or where to read it
// from. hint is where the page starts from which the reader had the events before pos, -1 if
// it had none: such a reader goes on at pos itself.
func (p *pages) find(pos, hint int64) (*segment, int64) {
	for _, start := range [...]int64{hint, pos} {
		if s := p.held[start]; s != nil && s.last() > pos {
			return s, start
		}
	}
	start := pos / pageEvents * pageEvents
	for s := p.held[start]; s != nil; s = p.held[start] {
		if s.last() > pos {
			return s, start
		}
		start = s.last()
	}
	if hint >= 0 {
		start = pos
	}
	return nil, start
}

func (p *pages) add(start int64, s *segment, most int) (grown int) {
	before := p.bytes
	if p.held[start] == nil {
		p.held[start] = s
		p.order = append(p.order, start)
		p.bytes += len(s.buf)
	}
	for p.bytes > most && len(p.order) > 1 {
		p.bytes -= len(p.held[p.order[0]].buf)
		delete(p.held, p.order[0])
		p.order = p.order[1:]
	}
	return p.bytes - before
}

// page returns a part of the log that holds the event after pos, nil when there is none, and
// where it starts, which is the hint for what follows.
func (t *topic) page(ctx context.Context, pos, hint int64) (*segment, int64, error) {
	for {
		t.mu.Lock()
		s, start := t.pages.find(pos, hint)
		if s != nil {
			t.mu.Unlock()
			return s, start, nil
		}
		if under := t.pages.loading[start]; under != nil {
			t.mu.Unlock()
			select {
			case <-under.done:
			case <-ctx.Done():
				return nil, hint, schema.Wrap(schema.CodeUnavailable, ctx.Err(), "the connection is closed")
			}
			if under.err != nil {
				return nil, hint, under.err
			}
			continue
		}
		own := &loading{done: make(chan struct{})}
		t.pages.loading[start] = own
		t.mu.Unlock()
		s, err := t.loadPage(start)
		t.mu.Lock()
		delete(t.pages.loading, start)
		own.err = err
		close(own.done)
		if s != nil {
			grown := t.pages.add(start, s, t.hub.bound(pagesBytes))
			if !t.dropped {
				t.hub.bytes.Add(int64(grown))
			}
		}
		t.mu.Unlock()
		switch {
		case err != nil || s == nil:
			return nil, hint, err
		case s.last() > pos:
			return s, start, nil
		}
		hint = start // large events: the page from the usual start does not reach pos
	}
}

// loadPage reads for all who wait, so it does not end with the client that asked first.
func (t *topic) loadPage(start int64) (*segment, error) {
	ctx, cancel := context.WithTimeout(t.hub.life, ReadTimeout)
	defer cancel()
	if !t.hub.acquire(ctx) {
		return nil, schema.Wrap(schema.CodeUnavailable, ctx.Err(), "the log could not be read in time")
	}
	defer t.hub.release()
	events, err := t.hub.source.Events(ctx, t.id, store.EventFilter{
		Since: start, Until: (start/pageEvents + 1) * pageEvents, Limit: pageEvents, MaxBytes: pageBytes,
	})
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return encodeEvents(events), nil
}

// acquire waits for a turn to read older parts of logs.
func (h *Hub) acquire(ctx context.Context) bool {
	select {
	case h.catchUp <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *Hub) release() { <-h.catchUp }
