package store_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestOpen_RefusesAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://[::1", "host=a port=x", "not an address"} {
		_, err := store.Open(context1(t), dsn, store.Options{})
		mustFail(t, err, schema.CodeInvalid)
	}
}

func TestStore_SaysUnavailableWhileNobodyListens(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres://holdfast:secret@127.0.0.1:1/holdfast?sslmode=disable")
	ctx := context1(t)
	id := schema.NewID()
	_, sessionErr := s.Session(ctx, id)
	_, _, createErr := s.CreateSession(ctx, store.NewSession{ID: id})
	_, _, listErr := s.Approvals(ctx, store.ApprovalFilter{})
	_, eventsErr := s.Events(ctx, id, store.EventFilter{})
	_, applyErr := s.Apply(ctx, schema.Transition{SessionID: id})
	_, migrateErr := s.Migrate(ctx)
	_, heartbeatErr := s.Heartbeat(ctx, "a")
	for name, err := range map[string]error{
		"Ping": s.Ping(ctx), "Session": sessionErr, "CreateSession": createErr, "Approvals": listErr, "Events": eventsErr,
		"Apply": applyErr, "Migrate": migrateErr, "Heartbeat": heartbeatErr,
		"AppendOutput": s.AppendOutput(ctx, store.AppendOutput{SessionID: id, RunID: id}),
	} {
		if schema.CodeOf(err) != schema.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
			continue
		}
		known, _ := errors.AsType[*schema.Error](err)
		for _, secret := range []string{"secret", "127.0.0.1", "SELECT", "INSERT", "SQLSTATE"} {
			if strings.Contains(known.Message, secret) {
				t.Errorf("%s tells %q: %s", name, secret, known.Message)
			}
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Ping(ended); schema.CodeOf(err) != schema.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled ping: %v", err)
	}
	s.Close()
	if err := s.Ping(ctx); schema.CodeOf(err) != schema.CodeUnavailable {
		t.Errorf("a ping after Close: %v", err)
	}
	if _, err := s.Session(ctx, id); schema.CodeOf(err) != schema.CodeUnavailable {
		t.Errorf("a read after Close: %v", err)
	}
}

// Whatever was lost with the connection, the retry finds out: every chunk is in the log exactly
// once.
func TestStore_LosesAndDoublesNothingWhenPostgresIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it kills a server of its own")
	}
	server := embeddedtest.StartTestPostgres(t)
	s, _ := storetest.NewOn(t, server)
	const writers, least = 6, 60
	runs := make([]began, writers)
	for i := range runs {
		runs[i] = newRun(t, s)
		runs[i].attempt(t, s, "make")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*testTimeout)
	defer cancel()
	stop := make(chan struct{})
	batches := make([]int64, writers)
	failures := make([]int, writers)
	var all sync.WaitGroup
	for i, b := range runs {
		all.Go(func() {
			for batch := int64(0); ; batch++ {
				select {
				case <-stop:
					if batch >= least {
						batches[i] = batch
						return
					}
				default:
				}
				for {
					err := s.AppendOutput(ctx, b.output("make", 1, batch, fmt.Sprintf("%d\n", batch), strings.Repeat("x", 2000)+"\n"))
					if err == nil {
						_, err = s.AppendEvents(ctx, store.AppendEvents{
							SessionID: b.session, Key: strconv.FormatInt(batch, 10),
							Events: []schema.NewEvent{{Type: schema.EventStepProgress, Data: schema.FileChangedData{Size: batch}}},
						})
					}
					if err == nil {
						break
					}
					if schema.CodeOf(err) != schema.CodeUnavailable || ctx.Err() != nil {
						t.Errorf("batch %d: %v", batch, err)
						return
					}
					failures[i]++
					time.Sleep(10 * time.Millisecond) // an outage is polled, not waited out by luck
				}
			}
		})
	}
	for range 3 {
		head, err := s.HeadSeq(ctx, runs[0].session)
		for err == nil && ctx.Err() == nil {
			var now int64
			if now, err = s.HeadSeq(ctx, runs[0].session); err != nil || now > head+30 {
				break
			}
		}
		must(t, err)
		must(t, server.Kill())
		must(t, server.Start(ctx))
		testkit.Eventually(t, "a store that answers", func() bool { return s.Ping(ctx) == nil })
	}
	close(stop)
	all.Wait()
	failed := 0
	for i, b := range runs {
		failed += failures[i]
		var want strings.Builder
		for batch := range batches[i] {
			fmt.Fprintf(&want, "%d\n%s\n", batch, strings.Repeat("x", 2000))
		}
		events := log(t, s, b.session)
		if got := printed(t, events, "make"); got != want.String() {
			t.Errorf("session %d: %d bytes of output, not %d", i, len(got), want.Len())
		}
		next := int64(0)
		for _, e := range events {
			if e.Type != schema.EventStepProgress {
				continue
			}
			if d := dataOf[schema.FileChangedData](t, e); d.Size != next {
				t.Fatalf("session %d: keyed event %d where %d is due", i, d.Size, next)
			}
			next++
		}
		if next != batches[i] {
			t.Errorf("session %d: %d keyed events, not %d", i, next, batches[i])
		}
	}
	if failed == 0 {
		t.Error("no write was cut off: the test has shown nothing")
	}
}
