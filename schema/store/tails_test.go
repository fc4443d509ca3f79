package store_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// follow reads a log to its end by tails and checks each answer against the whole.
func follow(t testing.TB, s *store.Store, session string, whole []schema.Event, limit int, maxBytes int64) {
	t.Helper()
	var got []schema.Event
	for len(got) < len(whole) {
		tails := []store.Tail{{SessionID: session, Since: int64(len(got))}}
		must(t, s.ReadTails(context1(t), tails, limit, maxBytes))
		must(t, tails[0].Err)
		size := 0
		for _, e := range tails[0].Events {
			size += len(e.Data)
		}
		if n := len(tails[0].Events); n == 0 || n > limit || (n > 1 && int64(size) > maxBytes) {
			t.Fatalf("after %d of %d there are %d events of %d bytes", len(got), len(whole), n, size)
		}
		got = append(got, tails[0].Events...)
	}
	same(t, "by tails", got, whole)
}

func TestReadTails_ReadsManyLogsAsEachAloneWouldBe(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	quiet, busy, over, gone := newSession(t, s), newRun(t, s), newRun(t, s), newSession(t, s)
	talk(t, s, busy, 8)
	talk(t, s, over, 8)
	whole, old := log(t, s, busy.session), log(t, s, over.session)
	compactAll(t, s, over.session)
	must(t, s.DeleteSession(context1(t), gone.ID, "ann"))

	head, err := s.HeadSeq(context1(t), quiet.ID)
	must(t, err)
	tails := []store.Tail{
		{SessionID: busy.session, Since: 3}, {SessionID: quiet.ID, Since: head}, {SessionID: over.session, Since: 5},
		{SessionID: gone.ID}, {SessionID: busy.session, Since: int64(len(whole)) - 1}, {SessionID: schema.NewID()},
	}
	must(t, s.ReadTails(context1(t), tails, 1000, 1<<20))
	same(t, "busy", tails[0].Events, whole[3:3+len(tails[0].Events)])
	same(t, "quiet", tails[1].Events, nil)
	same(t, "over", tails[2].Events, old[5:5+len(tails[2].Events)])
	same(t, "the last", tails[4].Events, whole[len(whole)-1:])
	if len(tails[0].Events) == 0 || len(tails[2].Events) == 0 || tails[1].Err != nil {
		t.Fatalf("%d and %d events, %v", len(tails[0].Events), len(tails[2].Events), tails[1].Err)
	}
	mustFail(t, tails[3].Err, schema.CodeNotFound)
	mustFail(t, tails[5].Err, schema.CodeNotFound)
	for _, limit := range []int{9, 1000} {
		for _, most := range []int64{900, 1 << 20} {
			follow(t, s, busy.session, whole, limit, most)
			follow(t, s, over.session, old, limit, most)
		}
	}
	mustFail(t, s.ReadTails(context1(t), []store.Tail{{SessionID: "x"}}, 1, 1), schema.CodeNotFound)
	must(t, s.ReadTails(context1(t), nil, 1, 1))
}

func TestReadTails_EverySeqOnceWhileTheLogIsCompacted(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	talk(t, s, b, 12)
	whole := log(t, s, b.session)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2 {
				follow(t, s, b.session, whole, 40, 1<<14)
			}
		})
	}
	compactAll(t, s, b.session)
	all.Wait()
}

func TestReadTails_ABadRowHarmsItsLogAlone(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	bad, good := newRun(t, s), newRun(t, s)
	for _, b := range []began{bad, good} {
		number := b.attempt(t, s, "make")
		must(t, s.AppendOutput(context1(t), b.output("make", number, 0, "small", strings.Repeat("packed ", 1000), "after")))
	}
	rowsOf(t, dsn, `WITH spoilt AS (UPDATE events SET packed = '\x00' WHERE session_id = $1 AND packed IS NOT NULL RETURNING 1)
		SELECT count(*) FROM spoilt`, bad.session)
	whole := log(t, s, good.session)
	tails := []store.Tail{{SessionID: bad.session}, {SessionID: good.session}}
	must(t, s.ReadTails(context1(t), tails, 1000, 1<<20))
	same(t, "good", tails[1].Events, whole)
	if tails[0].Err == nil || len(tails[0].Events) != len(whole)-2 {
		t.Fatalf("%d events, %v", len(tails[0].Events), tails[0].Err)
	}
}

func TestHeads_AreThoseOfTheSessionsThatExist(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	a, b := newSession(t, s), newSession(t, s)
	happen(t, s, b.ID, 3)
	want, err := s.HeadSeq(context1(t), b.ID)
	must(t, err)
	heads, err := s.Heads(context1(t), []string{a.ID, b.ID, schema.NewID()})
	must(t, err)
	if len(heads) != 2 || heads[b.ID] != want {
		t.Fatalf("%v, want %d for %s", heads, want, b.ID)
	}
	_, err = s.Heads(context1(t), []string{"x"})
	mustFail(t, err, schema.CodeNotFound)
}
