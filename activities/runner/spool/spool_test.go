package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/internal/testkit"
)

func create(t testing.TB, limit int64) (string, *spool.Writer) {
	t.Helper()
	dir := t.TempDir()
	w, err := spool.Create(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return dir, w
}

// A reader that is cut off and comes back at the end of any frame continues without a gap.
func TestSpool_IsReadAsWrittenAcrossSegmentsAndReaders(t *testing.T) {
	t.Parallel()
	const frames = 3000
	dir, w := create(t, 1<<40)
	text := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintln("line", i)), 1+i%700) }
	done := make(chan error, 1)
	go func() {
		for i := range frames {
			if err := w.Write(spool.Kind(1+i%2), text(i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var streams [3]int64
	r := spool.Open(dir, 0)
	for i := range frames {
		var f spool.Frame
		for {
			var ok bool
			var err error
			if f, ok, err = r.Next(w.End()); err != nil {
				t.Fatal(err)
			} else if ok {
				break
			}
			w.AwaitMore(r.Offset())
		}
		if f.Kind != spool.Kind(1+i%2) || !bytes.Equal(f.Data, text(i)) || f.Offset != streams[f.Kind] || f.End != r.Offset() || time.Since(f.At) > time.Minute {
			t.Fatalf("frame %d: %+v", i, f.Offset)
		}
		streams[f.Kind] += int64(len(f.Data))
		if rand.IntN(20) == 0 {
			_ = r.Close()
			r = spool.Open(dir, f.End)
			w.Consumed(f.End)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Next(spool.Everything); ok || err != nil || r.Offset() != w.End() {
		t.Fatalf("more than was written: %v, %v", ok, err)
	}
	w.Consumed(w.End())
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("%d segments are left of what was consumed", len(left))
	}
}

func TestSpool_AFullOneHoldsItsWriter(t *testing.T) {
	t.Parallel()
	dir, w := create(t, 1000)
	held := w.Held()
	if err := w.Write(spool.Stdout, make([]byte, 5000)); err != nil { // an empty spool takes any frame
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- w.Write(spool.Stdout, []byte("x")) }()
	testkit.Receive(t, "a write that waits for room", held)
	select {
	case <-second:
		t.Fatal("written over the limit")
	default:
	}
	r := spool.Open(dir, 0)
	f, ok, err := r.Next(spool.Everything)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.Consumed(f.End)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	third := make(chan error, 1)
	go func() { third <- w.Write(spool.Stdout, make([]byte, 2000)) }()
	_ = w.Close()
	if err := <-third; !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
}

func TestSpool_AHalfFrameIsNotRead(t *testing.T) {
	t.Parallel()
	dir, w := create(t, 1<<20)
	for _, s := range []string{"whole", "half"} {
		if err := w.Write(spool.Stderr, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(dir, fmt.Sprintf("%016x.spool", 0))
	for cut := w.End() - 1; cut > w.End()-25; cut-- {
		if err := os.Truncate(name, cut); err != nil {
			t.Fatal(err)
		}
		r := spool.Open(dir, 0)
		if f, ok, err := r.Next(spool.Everything); !ok || err != nil || string(f.Data) != "whole" {
			t.Fatal(ok, err)
		}
		if _, ok, err := r.Next(spool.Everything); ok || err != nil {
			t.Fatalf("cut at %d: %v %v", cut, ok, err)
		}
		_ = r.Close()
	}
	if err := os.WriteFile(name, bytes.Repeat([]byte{0xff}, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spool.Open(dir, 0).Next(100); err == nil {
		t.Fatal("garbage was read")
	}
}

func BenchmarkSpool(b *testing.B) {
	dir, w := create(b, 64<<20)
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	go func() {
		for b.Loop() {
			if w.Write(spool.Stdout, data) != nil {
				return
			}
		}
		_ = w.Close()
	}()
	r := spool.Open(dir, 0)
	for {
		f, ok, err := r.Next(spool.Everything)
		if err != nil {
			b.Error(err)
			return
		}
		if ok {
			w.Consumed(f.End)
			continue
		}
		if end, open := w.AwaitMore(r.Offset()); !open && end == r.Offset() {
			return
		}
	}
}
