package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// brokenLog fails as long as it is broken: with every read, or with those of one session.
type brokenLog struct {
	memoryLog

	mu     sync.Mutex
	broken string // the session; "all" for all
	asked  int
}

func (l *brokenLog) ReadTails(ctx context.Context, tails []store.Tail, limit int, maxBytes int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	switch {
	case l.broken == "all":
		return schema.Errorf(schema.CodeUnavailable, "away")
	case slices.ContainsFunc(tails, func(t store.Tail) bool { return t.SessionID == l.broken }):
		return errors.New("a bad row")
	}
	return l.memoryLog.ReadTails(ctx, tails, limit, maxBytes)
}

func (l *brokenLog) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = ""
}

func TestShard_WhatCannotBeReadHarmsNobodyElseAndIsReadLater(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"bad", "all"} {
		l := &brokenLog{broken: broken}
		h := New(l, logs.Discard())
		// Three sessions of one shard, whose ends are read together.
		one := &h.shards[0]
		woken := make(chan string, 1000)
		var all []*Cursor
		for _, id := range []string{"good", "bad", "other"} {
			topic := one.pin(id)
			topic.mu.Lock()
			topic.ready, topic.head, topic.due = true, 3, true
			topic.mu.Unlock()
			all = append(all, topic.attach(0, func() { woken <- id }))
			one.unpin(topic)
		}
		for seq := range int64(3) {
			l.events = append(l.events, schema.Event{Seq: seq + 1, Type: schema.EventOutput, Data: []byte(`{}`)})
		}
		one.read(all[0].topic, all[1].topic, all[2].topic)
		got := map[string]bool{}
		wait := func(n int) {
			t.Helper()
			for len(got) < n {
				got[testkit.Receive(t, fmt.Sprintf("another topic than %v, while %s is broken", got, broken), woken)] = true
			}
		}
		if broken == "bad" {
			wait(2)
			if got["bad"] || all[1].Lag() != 3 {
				t.Fatalf("read: %v, and %d are to be read", got, all[1].Lag())
			}
		}
		l.mend()
		wait(3)
		for _, c := range all {
			if c.Next(t.Context(), 1000); c.Lag() != 0 {
				t.Errorf("%d events did not come", c.Lag())
			}
			c.Detach()
		}
		if n := h.Topics(); n != 0 {
			t.Errorf("%d topics are left", n)
		}
		h.Run(t.Context())
	}
}

// heldHeads says where logs end as it was before the first question was held up.
type heldHeads struct {
	memoryLog

	asked, goOn chan struct{}
	deleted     atomic.Bool
}

func (l *heldHeads) Heads(_ context.Context, ids []string) (map[string]int64, error) {
	heads := map[string]int64{}
	for _, id := range ids {
		if !l.deleted.Load() {
			heads[id] = 0
		}
	}
	select {
	case l.asked <- struct{}{}:
		<-l.goOn
	default:
	}
	return heads, nil
}

// A session is deleted after it was looked for on account of another notice, and before the answer.
func TestShard_ADeletionIsSeenWhileTheSessionIsLookedFor(t *testing.T) {
	t.Parallel()
	l := &heldHeads{asked: make(chan struct{}, 1), goOn: make(chan struct{})}
	h := New(l, logs.Discard())
	one := &h.shards[0]
	topic := one.pin("s")
	topic.mu.Lock()
	topic.ready = true
	topic.mu.Unlock()
	woken := make(chan struct{}, 10)
	c := topic.attach(0, func() { woken <- struct{}{} })
	one.unpin(topic)
	one.notice(store.Notice{SessionID: "s", List: true})
	<-l.asked
	l.asked <- struct{}{} // the next question is not held up
	l.deleted.Store(true)
	one.notice(store.Notice{SessionID: "s", List: true})
	close(l.goOn)
	testkit.Receive(t, "word of the deletion", woken)
	c.Detach()
	h.Run(t.Context())
}
