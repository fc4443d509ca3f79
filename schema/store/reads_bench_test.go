package store_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// BenchmarkReads reads what web reads: one reader after the other, then eight at once.
func BenchmarkReads(b *testing.B) {
	s := storetest.New(b)
	for range 60 {
		newRun(b, s)
	}
	run := newRun(b, s)
	run.attempt(b, s, "make")
	approval := ask(b, s, run)
	for i := range 60 {
		must(b, s.AddMessage(context1(b), strconv.Itoa(i), schema.Message{SessionID: run.session, Role: "user", Content: fmt.Sprintf("message %d", i)}))
	}
	for _, read := range []struct {
		name string
		read func(context.Context) error
	}{
		{"session", func(ctx context.Context) error { _, err := s.Session(ctx, run.session); return err }},
		{"sessions", func(ctx context.Context) error {
			_, _, _, err := s.Sessions(ctx, store.SessionFilter{Limit: 50})
			return err
		}},
		{"run", func(ctx context.Context) error { _, err := s.Run(ctx, run.run); return err }},
		{"runs", func(ctx context.Context) error { _, err := s.Runs(ctx, run.session); return err }},
		{"steps", func(ctx context.Context) error { _, err := s.StepStatuses(ctx, run.run); return err }},
		{"approval", func(ctx context.Context) error { _, err := s.Approval(ctx, approval); return err }},
		{"approvals", func(ctx context.Context) error {
			_, _, err := s.Approvals(ctx, store.ApprovalFilter{Open: true, Brief: true})
			return err
		}},
		{"messages", func(ctx context.Context) error { _, _, err := s.Messages(ctx, run.session, 50, ""); return err }},
	} {
		b.Run(read.name+"/readers=1", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(b, read.read(b.Context()))
			}
		})
		b.Run(read.name+"/readers=8", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(4) // on two processors
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := read.read(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
