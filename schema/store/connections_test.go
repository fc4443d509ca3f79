package store_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func alive(t testing.TB, s *store.Store, instances ...string) {
	t.Helper()
	for _, i := range instances {
		_, err := s.Heartbeat(context1(t), i)
		must(t, err)
	}
}

func record(t testing.TB, s *store.Store, instance string, c store.ConnectionChanges) map[string]store.ConnectOrder {
	t.Helper()
	places, err := s.RecordConnections(context1(t), instance, c)
	must(t, err)
	return places
}

func connections(t testing.TB, s *store.Store) []store.Connection {
	t.Helper()
	list, err := s.Connections(context1(t))
	must(t, err)
	return list
}

func TestConnections_LiveAsLongAsTheirInstance(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	session := schema.NewID()
	first := store.ConnectionChanges{
		Connected: []store.Connection{{
			ID: "1", ClientID: "c1", User: "ann", Address: "127.0.0.1:9", SessionID: session, Lag: 7,
			ConnectedAt: schema.Time{Time: time.Now().Add(-time.Hour)}, LastActivity: schema.Time{Time: time.Now().Add(-time.Minute)},
		}},
		Viewing: []store.Viewer{{SessionID: session, ConnectionID: "1"}},
	}
	if _, err := s.RecordConnections(ctx, "a", first); !errors.Is(err, store.ErrInstanceGone) {
		t.Fatalf("recorded for an instance that nobody knows: %v", err)
	}
	for i, want := range []bool{true, false, false} {
		if fresh, err := s.Heartbeat(ctx, "a"); err != nil || fresh != want {
			t.Fatalf("heartbeat %d: fresh is %v, %v", i, fresh, err)
		}
	}
	alive(t, s, "b")
	place := record(t, s, "a", first)["1"]
	others := record(t, s, "b", store.ConnectionChanges{Connected: []store.Connection{{ID: "2"}, {ID: "3"}}})
	if before := others["2"].At.Sub(place.At); before < 59*time.Minute || before > 61*time.Minute || others["2"].Number == others["3"].Number {
		t.Fatalf("the places are %v, then %v", place, others)
	}
	first.Connected[0].Lag = 0
	if again := record(t, s, "a", first)["1"]; again != place { // recorded twice, the place not known
		t.Fatalf("the place was %v and is %v", place, again)
	}
	record(t, s, "b", store.ConnectionChanges{Disconnected: []string{"3", "unknown"}})
	record(t, s, "b", store.ConnectionChanges{})
	list := connections(t, s)
	if len(list) != 2 || list[1].ID != "2" || list[1].ServerInstance != "b" || list[1].SessionID != "" || len(list[1].Sessions) != 0 {
		t.Fatalf("the connections are %+v", list)
	}
	if c := list[0]; c.ID != "1" || c.ClientID != "c1" || c.User != "ann" || c.SessionID != session || !slices.Equal(c.Sessions, []string{session}) || c.Lag != 0 ||
		c.LastHeartbeat.Sub(c.ConnectedAt.Time) < 59*time.Minute || c.LastHeartbeat.Sub(c.LastActivity.Time) < 59*time.Second {
		t.Fatalf("the first is %+v", c)
	}
	if n, err := s.RemoveDeadInstances(ctx, time.Hour); err != nil || n != 0 {
		t.Fatalf("%d were dead, %v", n, err)
	}
	must(t, s.RemoveInstance(ctx, "b"))
	must(t, s.RemoveInstance(ctx, "b"))
	if list = connections(t, s); len(list) != 1 {
		t.Fatalf("the connections are %+v", list)
	}
	if n, err := s.RemoveDeadInstances(ctx, 0); err != nil || n != 1 {
		t.Fatalf("%d were dead, %v", n, err)
	}
	if list = connections(t, s); len(list) != 0 {
		t.Fatalf("the connections are %+v", list)
	}
	// It was only slow: it reports everything again, and keeps its place in the order.
	if _, err := s.RecordConnections(ctx, "a", first); !errors.Is(err, store.ErrInstanceGone) {
		t.Fatalf("recorded for an instance that was given up: %v", err)
	}
	alive(t, s, "a")
	first.Connected[0].Order = place
	if again := record(t, s, "a", first)["1"]; again != place {
		t.Fatalf("the place was %v and is %v", place, again)
	}
	if instances, err := s.Instances(ctx); err != nil || len(instances) != 1 || instances[0].ID != "a" || instances[0].StartedAt.IsZero() {
		t.Fatalf("the instances are %+v, %v", instances, err)
	}
}

// heard is what a listener received about viewers and replaced connections.
type heard struct {
	viewers, replaced chan []string
}

func hear(t *testing.T, s *store.Store) heard {
	t.Helper()
	h := heard{viewers: make(chan []string, 100), replaced: make(chan []string, 100)}
	connected := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- s.Listen(ctx, store.Listener{
			Viewers: func(ids []string) { h.viewers <- ids }, Replaced: func(ids []string) { h.replaced <- ids },
			Connected: func() { connected <- struct{}{} },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Listen ended with %v", err)
		}
	})
	testkit.Receive(t, "a listener that is connected", connected)
	return h
}

// want waits until exactly these have been reported.
func want(t *testing.T, told <-chan []string, ids ...string) {
	t.Helper()
	var got []string
	for len(got) < len(ids) {
		select {
		case some := <-told:
			got = append(got, some...)
		case <-time.After(testTimeout):
			t.Fatalf("told were %d of %d: %.200v", len(got), len(ids), got)
		}
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Fatalf("told were %v, not %v", got, ids)
	}
}

func TestViewers_AreToldOfAndCountedByClient(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	h := hear(t, s)
	alive(t, s, "a", "b")
	one, two := schema.NewID(), schema.NewID()
	ago := func(d time.Duration) schema.Time { return schema.Time{Time: time.Now().Add(-d)} }
	both := store.ConnectionChanges{Viewing: []store.Viewer{
		{SessionID: one, ConnectionID: "1", User: "ann", ClientID: "tab", Since: ago(time.Hour)},
		{SessionID: one, ConnectionID: "2", User: "ann", Since: ago(2 * time.Hour)},
		{SessionID: two, ConnectionID: "1", User: "ann", ClientID: "tab", Since: ago(time.Hour)},
	}}
	record(t, s, "a", both)
	want(t, h.viewers, one, two)
	record(t, s, "a", both) // again: nothing has changed
	// The same client on another instance, and a viewer of an approval.
	record(t, s, "b", store.ConnectionChanges{Viewing: []store.Viewer{
		{SessionID: one, ConnectionID: "3", User: "ann", ClientID: "tab", Since: ago(time.Minute)},
		{SessionID: one, ConnectionID: "4", User: "ben", ApprovalID: "x", Since: ago(time.Minute)},
	}})
	want(t, h.viewers, one)
	found, err := s.Viewers(ctx, []string{one, two, schema.NewID()}, 10)
	must(t, err)
	var order []string
	for _, v := range found[one].First {
		order = append(order, v.ConnectionID+v.ApprovalID)
	}
	if !slices.Equal(order, []string{"4x", "2", "3"}) || found[one].Count != 3 || len(found) != 2 || found[two].Count != 1 || found[one].First[1].User != "ann" {
		t.Fatalf("the viewers are %+v", found)
	}
	if found, err = s.Viewers(ctx, []string{one}, 1); err != nil || len(found[one].First) != 1 || found[one].Count != 3 {
		t.Fatalf("of three, one: %+v, %v", found, err)
	}
	record(t, s, "a", store.ConnectionChanges{Viewing: []store.Viewer{{SessionID: one, ConnectionID: "2", ApprovalID: "y"}}})
	want(t, h.viewers, one)
	record(t, s, "a", store.ConnectionChanges{Left: []store.Viewer{{SessionID: two, ConnectionID: "1"}, {SessionID: two, ConnectionID: "unknown"}}})
	want(t, h.viewers, two)
	// It leaves and comes back at once.
	record(t, s, "a", store.ConnectionChanges{
		Left: []store.Viewer{{SessionID: one, ConnectionID: "2"}}, Viewing: []store.Viewer{{SessionID: one, ConnectionID: "2"}},
	})
	want(t, h.viewers, one)
	must(t, s.RemoveInstance(ctx, "b"))
	want(t, h.viewers, one)
	if found, err = s.Viewers(ctx, []string{one, two}, 10); err != nil || found[one].Count != 2 || len(found) != 1 {
		t.Fatalf("the viewers are %+v, %v", found, err)
	}
}

func TestViewers_OfManySessionsAreToldOfWhenTheirInstanceDies(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	alive(t, s, "a")
	var (
		c   store.ConnectionChanges
		ids []string
	)
	for i := range 450 {
		ids = append(ids, schema.NewID())
		c.Viewing = append(c.Viewing, store.Viewer{SessionID: ids[i], ConnectionID: strconv.Itoa(i)})
	}
	record(t, s, "a", c)
	h := hear(t, s)
	alive(t, s, "b")
	if n, err := s.RemoveDeadInstances(context1(t), 0); err != nil || n != 2 {
		t.Fatalf("%d were dead, %v", n, err)
	}
	want(t, h.viewers, ids...)
}

func TestReplaced_TheNewestConnectionOfAClientStays(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	h := hear(t, s)
	alive(t, s, "a", "b")
	connect := func(instance, id, user, client string) {
		t.Helper()
		record(t, s, instance, store.ConnectionChanges{Connected: []store.Connection{{ID: id, User: user, ClientID: client}}})
		must(t, s.NotifyReplaced(ctx, []string{id}))
	}
	connect("a", "old", "ann", "tab")
	connect("a", "other-user", "ben", "tab")
	connect("a", "other-tab", "ann", "tab-2")
	connect("a", "no-client", "ann", "")
	connect("b", "no-client-2", "ann", "")
	connect("b", "new", "ann", "tab")
	want(t, h.replaced, "old")
	must(t, s.NotifyReplaced(ctx, []string{"old"})) // a second call finds the same
	want(t, h.replaced, "old")
	must(t, s.NotifyReplaced(ctx, nil))
	for instance, wanted := range map[string][]string{"a": {"old"}, "b": {}} {
		got, err := s.Replaced(ctx, instance)
		must(t, err)
		if !slices.Equal(got, wanted) {
			t.Errorf("replaced of %s are %v", instance, got)
		}
	}
	if list := connections(t, s); len(list) != 6 { // nothing was unregistered
		t.Errorf("the connections are %+v", list)
	}
}

func TestReplaced_IsDecidedByWhoConnectedLastNotByWhoWasRecordedLast(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	h := hear(t, s)
	alive(t, s, "a", "b", "c")
	connect := func(instance, id string, ago time.Duration) {
		t.Helper()
		record(t, s, instance, store.ConnectionChanges{Connected: []store.Connection{{
			ID: id, User: "ann", ClientID: "tab", ConnectedAt: schema.Time{Time: time.Now().Add(-ago)},
		}}})
		must(t, s.NotifyReplaced(ctx, []string{id}))
	}
	connect("a", "newest", time.Second)
	connect("b", "late", time.Minute) // its instance could not reach Postgres until now
	want(t, h.replaced, "late")
	connect("b", "later", time.Hour)
	want(t, h.replaced, "late", "later")
	// An instance knows the order of its own connections, and has ended the older one by now.
	connect("a", "same-instance", 0)
	want(t, h.replaced, "late", "later")
	connect("c", "in-between", 500*time.Millisecond)
	want(t, h.replaced, "in-between", "late", "later", "newest")
	for instance, wanted := range map[string][]string{"a": {"newest"}, "b": {"late", "later"}, "c": {"in-between"}} {
		got, err := s.Replaced(ctx, instance)
		must(t, err)
		slices.Sort(got)
		if !slices.Equal(got, wanted) {
			t.Errorf("replaced of %s are %v", instance, got)
		}
	}
}

// A statement may be delayed on its way: in a network, in a stopped server, or as here by a lock.
func TestRecordConnections_TheTimeThatRecordingTakesMakesNobodyNewer(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	alive(t, s, "a")
	admin, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer admin.Close(ctx)
	tx, err := admin.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, `LOCK TABLE active_connections`)
	must(t, err)
	recorded := make(chan map[string]store.ConnectOrder, 1)
	go func() {
		places, err := s.RecordConnections(ctx, "a", store.ConnectionChanges{Connected: []store.Connection{{ID: "1", ConnectedAt: schema.Time{Time: time.Now()}}}})
		if err != nil {
			t.Error(err)
		}
		recorded <- places
	}()
	var waits bool
	var seen time.Time
	for !waits {
		must(t, admin.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'active_connections'::regclass), clock_timestamp()`).Scan(&waits, &seen))
	}
	must(t, tx.Commit(ctx))
	if got := (<-recorded)["1"].At; got.After(seen) {
		t.Errorf("it was made %v after it waited to be recorded", got.Sub(seen))
	}
}
