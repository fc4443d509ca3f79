package presence

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// closable is a connection that is only ever ended.
type closable struct {
	Conn

	ended bool
}

func (c *closable) Close(int, string) { c.ended = true }

// Two connections of one client may be taken in the other way round: the handshake of the older one took longer.
func TestRegistry_OfOneClientTheConnectionThatWasMadeLaterStays(t *testing.T) {
	t.Parallel()
	r := NewRegistry(nil, logs.Discard(), "here", Limits{All: 10, PerUser: 1})
	now := time.Now()
	made := func(after time.Duration) *Member {
		return &Member{ID: schema.NewID(), ClientID: "tab", User: "ann", ConnectedAt: now.Add(after), Conn: &closable{}}
	}
	ended := func(m *Member) bool { return m.Conn.(*closable).ended }
	first, third, second, fourth := made(0), made(2*time.Second), made(time.Second), made(3*time.Second)
	for _, c := range []*Member{first, third} {
		if refused := r.Add(c); refused != nil {
			t.Fatalf("refused: %+v", refused)
		}
	}
	if refused := r.Add(second); refused == nil || refused.Code != wire.CloseReplaced || refused.RetryIn != 0 {
		t.Errorf("one that was made before is answered with %+v", refused)
	}
	if r.clients[third.clientKey()] != third || ended(third) || !ended(first) || r.conns[second.ID] != nil {
		t.Error("an older one has taken the place")
	}
	if refused := r.Add(fourth); refused != nil || !ended(third) || r.clients[fourth.clientKey()] != fourth {
		t.Errorf("a newer one is answered with %+v", refused)
	}
	if r.counted != 1 || r.users["ann"] != 1 {
		t.Errorf("%d are counted, %d of the user", r.counted, r.users["ann"])
	}
}
