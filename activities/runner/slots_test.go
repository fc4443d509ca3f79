package runner

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

func take(t *testing.T, s *Slots, cpu float64, memory int64) (release func()) {
	t.Helper()
	release, err := s.Acquire(t.Context(), cpu, memory)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// later takes in the background, and waits until it is in the queue.
func later(t *testing.T, s *Slots, name string, order chan<- string, cpu float64, memory int64) {
	t.Helper()
	before := s.Waiting()
	go func() {
		release, err := s.Acquire(t.Context(), cpu, memory)
		if err != nil {
			order <- err.Error()
			return
		}
		order <- name
		release()
	}()
	testkit.Eventually(t, "a step that waits", func() bool { return s.Waiting() != before })
}

func TestSlots_ALargeStepIsNotOvertakenForEver(t *testing.T) {
	t.Parallel()
	s := NewSlots(4, 0)
	first, second := take(t, s, 2, 0), take(t, s, 1, 0)
	order := make(chan string, 3)
	later(t, s, "large", order, 4, 0)
	later(t, s, "small", order, 1, 0) // it would fit at once
	first()
	second()
	if got := <-order + ", " + <-order; got != "large, small" {
		t.Fatalf("served %s", got)
	}
}

func TestSlots_MemoryCountsAsCoresDo(t *testing.T) {
	t.Parallel()
	s := NewSlots(64, 1<<30)
	release := take(t, s, 0, 1<<29)
	also := take(t, s, 1, 1<<29)
	order := make(chan string, 1)
	later(t, s, "third", order, 0, 1)
	release()
	release() // a second time changes nothing
	if got := <-order; got != "third" {
		t.Fatal(got)
	}
	also()
	take(t, s, 64, 1<<30)() // all of it is available again
}

func TestSlots_WhatNoHostLikeThisCanGiveIsRefused(t *testing.T) {
	t.Parallel()
	s := NewSlots(2, 3<<30)
	for _, c := range []struct {
		cpu    float64
		memory int64
		want   string
	}{
		{2.5, 0, "the step asks for cpu 2.5, and this host has 2"},
		{1, 4 << 30, "the step asks for 4 GiB of memory, and this host has 3 GiB"},
	} {
		_, err := s.Acquire(t.Context(), c.cpu, c.memory)
		if schema.CodeOf(err) != schema.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	take(t, NewSlots(1, 0), 1, 1<<50)() // nobody knows how much memory there is
}

func TestSlots_AStepThatDeclaresNothingNeverWaits(t *testing.T) {
	t.Parallel()
	s := NewSlots(1, 1)
	defer take(t, s, 1, 1)()
	for range 100 {
		take(t, s, 0, 0)
	}
}

func TestSlots_OneThatGivesUpLetsThoseBehindItPass(t *testing.T) {
	t.Parallel()
	s := NewSlots(2, 0)
	defer take(t, s, 1, 0)()
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.Acquire(ctx, 2, 0)
		failed <- err
	}()
	testkit.Eventually(t, "a step that waits", func() bool { return s.Waiting() != 0 })
	order := make(chan string, 1)
	later(t, s, "behind", order, 1, 0)
	gone := errors.New("gone")
	cancel(gone)
	if err := <-failed; !errors.Is(err, gone) {
		t.Fatal(err)
	}
	if got := <-order; got != "behind" {
		t.Fatal(got)
	}
}

func TestSlots_AreNeverOverdrawnAndAllComeBack(t *testing.T) {
	t.Parallel()
	s := NewSlots(3, 0)
	var used atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%7 == 0 {
				cancel()
			}
			defer cancel()
			tenths := int64(i%30 + 1)
			release, err := s.Acquire(ctx, float64(tenths)/10, 0)
			if err != nil {
				return
			}
			if n := used.Add(tenths); n > 30 {
				t.Errorf("%d tenths of 3 cores are in use", n)
			}
			used.Add(-tenths)
			release()
		})
	}
	all.Wait()
	take(t, s, 3, 0)()
}

func TestHostSlots_KnowThisHost(t *testing.T) {
	t.Parallel()
	if s := HostSlots(); s.cores < 1 || s.bytes < 0 {
		t.Fatalf("%g cores, %d bytes", s.cores, s.bytes)
	}
}
