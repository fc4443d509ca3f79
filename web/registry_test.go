package web

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// Two connections of one client may be taken in the other way round: the handshake of the older one took longer.
func TestRegistry_OfOneClientTheConnectionThatWasMadeLaterStays(t *testing.T) {
	t.Parallel()
	r := newRegistry(nil, logs.Discard(), "here", connectionLimits{all: 10, user: 1})
	now := time.Now()
	made := func(after time.Duration) *conn {
		c := &conn{id: schema.NewID(), clientID: "tab", user: "ann", connected: now.Add(after), writing: true}
		c.room.L = &c.mu
		return c
	}
	first, third, second, fourth := made(0), made(2*time.Second), made(time.Second), made(3*time.Second)
	for _, c := range []*conn{first, third} {
		if refused := r.add(c); refused != nil {
			t.Fatalf("refused: %+v", refused)
		}
	}
	if refused := r.add(second); refused == nil || refused.code != wire.CloseReplaced || refused.retryIn != 0 {
		t.Errorf("one that was made before is answered with %+v", refused)
	}
	if r.clients[third.clientKey()] != third || third.closing != nil || first.closing == nil || r.conns[second.id] != nil {
		t.Error("an older one has taken the place")
	}
	if refused := r.add(fourth); refused != nil || third.closing == nil || r.clients[fourth.clientKey()] != fourth {
		t.Errorf("a newer one is answered with %+v", refused)
	}
	if r.counted != 1 || r.users["ann"] != 1 {
		t.Errorf("%d are counted, %d of the user", r.counted, r.users["ann"])
	}
}
