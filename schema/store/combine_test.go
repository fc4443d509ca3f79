package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestAppendOutput_ManyAttemptsAtOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	const attempts, flushes = 40, 25
	runs := make([]began, attempts)
	for i := range runs {
		runs[i] = newRun(t, s)
		runs[i].attempt(t, s, "make")
	}
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			for n := range int64(flushes) {
				if err := s.AppendOutput(ctx, runs[i].output("make", 1, n, fmt.Sprintf("%d of %d\n", n, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range runs {
		var want strings.Builder
		for n := range flushes {
			fmt.Fprintf(&want, "%d of %d\n", n, i)
		}
		if got := printed(t, log(t, s, runs[i].session), "make"); got != want.String() {
			t.Fatalf("attempt %d printed %q", i, got)
		}
	}
}

// A client that holds a session's row, or sends what Postgres cannot take, delays nobody else.
func TestAppendOutput_OneThatCannotBeWrittenHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	var runs [6]began
	for i := range runs {
		runs[i] = newRun(t, s)
		runs[i].attempt(t, s, "make")
	}
	other, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer other.Close(ctx)
	tx, err := other.Begin(ctx)
	must(t, err)
	held := runs[:3] // more than there are writers
	for i := range held {
		_, err := tx.Exec(ctx, `SELECT FROM sessions WHERE id = $1 FOR UPDATE`, held[i].session)
		must(t, err)
	}
	// Before the transaction that waits for the rows would be given up.
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var stuck, others sync.WaitGroup
	for i := range held {
		stuck.Go(func() {
			if err := s.AppendOutput(ctx, held[i].output("make", 1, 0, "late\n")); err != nil {
				t.Error(err)
			}
		})
	}
	for i := len(held); i < len(runs); i++ {
		others.Go(func() {
			bad := runs[i].output("no\x00step", 1, 0, "bad\n")
			if err := s.AppendOutput(ctx, bad); err == nil {
				t.Error("a step whose id Postgres cannot take has printed")
			}
		})
		others.Go(func() {
			if err := s.AppendOutput(soon, runs[i].output("make", 1, 0, "in time\n")); err != nil {
				t.Error(err)
			}
		})
	}
	others.Wait()
	for i := len(held); i < len(runs); i++ {
		if got := printed(t, log(t, s, runs[i].session), "make"); got != "in time\n" {
			t.Fatalf("attempt %d printed %q", i, got)
		}
	}
	must(t, tx.Rollback(ctx))
	stuck.Wait()
	for i := range held {
		events := log(t, s, held[i].session)
		if got := printed(t, events, "make"); got != "late\n" || events[len(events)-1].Type != schema.EventOutput {
			t.Fatalf("attempt %d printed %q", i, got)
		}
	}
}
