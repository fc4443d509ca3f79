package store_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// listening is a running listener.
type listening struct {
	notices   chan store.Notice
	connected chan struct{}
}

func listen(t *testing.T, s *store.Store) *listening {
	t.Helper()
	l := &listening{notices: make(chan store.Notice, 1000), connected: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- s.Listen(ctx, store.Listener{Notice: func(n store.Notice) { l.notices <- n }, Connected: func() { l.connected <- struct{}{} }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Listen ended with %v", err)
		}
	})
	l.waitConnected(t)
	return l
}

func (l *listening) waitConnected(t *testing.T) {
	t.Helper()
	testkit.Receive(t, "a listener that is connected", l.connected)
}

func (l *listening) want(t *testing.T, want ...store.Notice) {
	t.Helper()
	for _, w := range want {
		if got := testkit.Receive(t, fmt.Sprintf("the notice %+v", w), l.notices); got != w {
			t.Fatalf("the notice is %+v, not %+v", got, w)
		}
	}
}

func TestListen_SaysEachTransactionOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	l := listen(t, s)
	ctx := context1(t)
	b := newRun(t, s)
	l.want(t, store.Notice{b.session, 0, true}, store.Notice{b.session, 4, true})
	b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "a", "b", "c")))
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "a", "b", "c"))) // again: nothing to report
	must(t, s.AppendOutput(ctx, b.output("make", 1, 1, "d")))
	l.want(t, store.Notice{b.session, 6, false}, store.Notice{b.session, 9, false}, store.Notice{b.session, 10, false})
	must(t, s.FinishAttempt(ctx, b.finish(1, schema.AttemptSucceeded, schema.StepSucceeded)))
	ask(t, s, b)
	ask(t, s, b) // again: nothing to report
	_, err := s.RenameSession(ctx, b.session, 1, "new", "bob")
	must(t, err)
	must(t, s.DeleteSession(ctx, b.session, "bob"))
	must(t, s.DeleteSession(ctx, b.session, "bob")) // again: nothing to report
	other := newSession(t, s)
	l.want(t, store.Notice{b.session, 12, false}, store.Notice{b.session, 13, true}, store.Notice{b.session, 14, true},
		store.Notice{b.session, 14, true}, store.Notice{other.ID, 0, true})
}

func TestListen_ComesBackAndCatchesUp(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	l := listen(t, s)
	ctx := context1(t)
	session := newSession(t, s)
	l.want(t, store.Notice{session.ID, 0, true})
	admin, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer admin.Close(ctx)
	for round := range 3 {
		var cut int
		must(t, admin.QueryRow(ctx, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%')`).Scan(&cut))
		if cut != 1 {
			t.Fatalf("%d listeners were cut", cut)
		}
		head, err := s.AppendEvents(ctx, store.AppendEvents{
			SessionID: session.ID, Key: strconv.Itoa(round), Events: []schema.NewEvent{{Type: schema.EventStepProgress, Data: struct{}{}}},
		})
		must(t, err)
		l.waitConnected(t)
		// Reading after connecting misses nothing, and later events are heard.
		events, err := s.Events(ctx, session.ID, store.EventFilter{Since: head - 1})
		must(t, err)
		if len(events) != 1 {
			t.Fatalf("%d events after the cut", len(events))
		}
		for len(l.notices) > 0 {
			<-l.notices
		}
		head, err = s.AppendEvents(ctx, store.AppendEvents{
			SessionID: session.ID, Key: fmt.Sprint(round, "+"), Events: []schema.NewEvent{{Type: schema.EventStepProgress, Data: struct{}{}}},
		})
		must(t, err)
		l.want(t, store.Notice{session.ID, head, false})
	}
}
