package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// faulty is a segment on a disk that is sometimes full: a write stores some of its bytes and fails,
// and what it began may or may not be taken back.
type faulty struct {
	*os.File

	left     *int // bytes of space left; negative is unlimited
	takeBack *bool
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if *f.left < 0 || len(b) <= *f.left {
		return f.File.WriteAt(b, at)
	}
	n, err := f.File.WriteAt(b[:*f.left], at)
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f faulty) Truncate(size int64) error {
	if !*f.takeBack {
		return syscall.EIO
	}
	return f.File.Truncate(size)
}

// Whatever fails and whenever it is read, a reader gets exactly what was written, in order.
func TestSpool_IsReadAsWrittenWhateverFails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		left, takeBack, full := -1, true, false
		w, err := create(dir, 1<<40, func(name string) (segment, error) {
			if full {
				return nil, syscall.ENOSPC
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			return faulty{f, &left, &takeBack}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		w.roll = 30_000
		r := Open(dir, 0)
		defer func() { _ = r.Close() }()
		var written [][]byte
		read := 0
		next := func(end int64) bool {
			f, ok, err := r.Next(end)
			if err != nil {
				t.Fatalf("after %d of %d frames: %v", read, len(written), err)
			}
			if !ok {
				return false
			}
			if read >= len(written) || !bytes.Equal(f.Data, written[read]) {
				t.Fatalf("frame %d is not what was written", read)
			}
			read++
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				data := bytes.Repeat(fmt.Appendf(nil, "%d/", len(written)), 1+rapid.SampledFrom([]int{0, 1, 20, 5_000, 20_000}).Draw(t, "size"))
				kind := Kind(rapid.IntRange(1, 3).Draw(t, "kind"))
				switch err := w.Write(kind, data); {
				case err == nil:
					written = append(written, data)
				case !errors.Is(err, syscall.ENOSPC):
					t.Fatal(err)
				}
			},
			"the disk is full": func(t *rapid.T) {
				left = rapid.SampledFrom([]int{0, 1, 20, 21, 22, 4_000, 40_000}).Draw(t, "left")
				full = rapid.Bool().Draw(t, "no new file")
				takeBack = rapid.Bool().Draw(t, "take back")
			},
			"there is room": func(*rapid.T) { left, full = -1, false },
			"read":          func(*rapid.T) { next(w.End()) },
			"read all": func(*rapid.T) {
				for next(w.End()) {
				}
				if read != len(written) {
					t.Fatalf("read %d of %d frames", read, len(written))
				}
			},
			"come back": func(*rapid.T) {
				at := r.Offset()
				_ = r.Close()
				r = Open(dir, at)
				w.Consumed(at)
			},
		})
		left, full = -1, false
		if err := w.Write(Stdout, []byte("last")); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		written = append(written, []byte("last"))
		for next(w.End()) {
		}
		if read != len(written) {
			t.Fatalf("read %d of %d frames", read, len(written))
		}
	})
}

// A writer that was killed while it took something back leaves complete frames to read.
func TestSpool_OfAKilledWriterTheWholeFramesAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left, takeBack := -1, false
	w, err := create(dir, 1<<40, func(name string) (segment, error) {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		return faulty{f, &left, &takeBack}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Stdout, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	left = 50_000
	if err := w.Write(Stdout, bytes.Repeat([]byte{0xff}, 60_000)); err == nil {
		t.Fatal("it was written to a full disk")
	}
	if err := w.Write(Stderr, []byte("second")); err != nil {
		t.Fatal(err)
	}
	r := Open(dir, 0)
	for _, want := range []string{"whole", "second"} {
		if f, ok, err := r.Next(Everything); err != nil || !ok || string(f.Data) != want {
			t.Fatal(string(f.Data), ok, err)
		}
	}
	if f, ok, err := r.Next(Everything); err != nil || ok {
		t.Fatal(f, ok, err)
	}
}

// There is nothing to wait for in a removed folder: a killed writer left it, or it is damage.
func TestSpool_AFolderThatIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := Open(filepath.Join(t.TempDir(), "gone"), 0)
	if _, ok, err := r.Next(Everything); ok || err != nil {
		t.Fatalf("of a killed writer: %t, %v", ok, err)
	}
	if _, ok, err := r.Next(10); ok || !errors.Is(err, ErrDamaged) {
		t.Fatalf("of one that has written something: %t, %v", ok, err)
	}
}

// Damage is reported, and not waited for.
func TestSpool_DamageIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(name string) error{
		"cut":     func(name string) error { return os.Truncate(name, 10) },
		"removed": os.Remove,
		"garbage": func(name string) error { return os.WriteFile(name, bytes.Repeat([]byte{7}, 100), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w, err := Create(dir, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write(Stdout, []byte("gone")); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, fmt.Sprintf("%016x.spool", 0))); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Open(dir, 0).Next(w.End()); !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
		})
	}
}
