//go:build unix

package supervisor

import (
	"encoding/json"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/activities/runner/spool"
)

const (
	// readBytes is the most that is read at once, and so what a frame has at most.
	readBytes = 64 << 10
	// holdFor is how long a part of a line is held back, see [filter]: how often a progress
	// bar moves.
	holdFor = 500 * time.Millisecond
	// tellEvery is how often progress that a program tells is passed on.
	tellEvery = 100 * time.Millisecond
)

// output carries what the program prints into the spool.
type output struct {
	spool          *spool.Writer
	stdout, stderr *os.File // the program's ends
	pipes          []*os.File
	readers        sync.WaitGroup

	mu   sync.Mutex // guards what follows
	told time.Time
	next *Progress // to be passed on with tellEvery in between
}

func newOutput(to *spool.Writer) (*output, error) {
	o := &output{spool: to}
	for _, end := range []struct {
		kind spool.Kind
		w    **os.File
	}{{spool.Stdout, &o.stdout}, {spool.Stderr, &o.stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		widen(r)
		*end.w = w
		o.pipes = append(o.pipes, r)
		o.readers.Go(func() { o.read(end.kind, r) })
	}
	return o, nil
}

// started lets go of the program's ends: the pipes close when the program and what it
// started are gone.
func (o *output) started() { _, _ = o.stdout.Close(), o.stderr.Close() }

// finish waits until everything is in the spool.
func (o *output) finish() {
	for _, r := range o.pipes {
		_ = r.SetReadDeadline(time.Now().Add(pipePatience))
	}
	o.readers.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell()
}

// read takes in one stream until it ends.
func (o *output) read(kind spool.Kind, r *os.File) {
	defer r.Close()
	var mu sync.Mutex // of the filter: its release comes from a timer
	f := &filter{text: func(b []byte) { o.write(kind, b) }, progress: o.progress}
	due := false
	release := time.AfterFunc(time.Hour, func() {
		mu.Lock()
		defer mu.Unlock()
		due = false
		f.release()
	})
	defer release.Stop()
	buf := make([]byte, readBytes)
	held := 0 // bytes at the start of buf that belong to a rune which is not whole yet
	for {
		n, err := r.Read(buf[held:])
		n += held
		whole := n
		if err == nil {
			whole = wholeRunes(buf[:n])
		}
		mu.Lock()
		if whole > 0 {
			f.take(buf[:whole])
		}
		if err != nil {
			f.release()
		}
		if f.held() && !due {
			due = true
			release.Reset(holdFor)
		}
		mu.Unlock()
		held = copy(buf, buf[whole:n])
		if err != nil {
			return
		}
	}
}

// write puts text into the spool, in frames. A spool that fails (the disk is full) is tried
// again: the program waits, nothing is dropped.
func (o *output) write(kind spool.Kind, b []byte) {
	for len(b) > 0 {
		n := min(len(b), spool.MaxData)
		if n < len(b) {
			n = wholeRunes(b[:n])
		}
		for {
			err := o.spool.Write(kind, b[:n])
			if err == nil {
				break
			}
			if err == spool.ErrClosed { //nolint:errorlint // it is returned as it is
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		b = b[n:]
	}
}

// progress passes on what the program tells, the newest of what it tells in a short time.
func (o *output) progress(p Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.next == nil
	if !first && p.Progress == nil {
		p.Progress = o.next.Progress
	}
	o.next = &p
	if wait := tellEvery - time.Since(o.told); wait <= 0 {
		o.tell()
	} else if first {
		time.AfterFunc(wait, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.tell()
		})
	}
}

func (o *output) tell() {
	if o.next == nil {
		return
	}
	text, err := json.Marshal(o.next)
	if err == nil {
		_ = o.spool.Write(spool.Progress, text) // closed: it is over
	}
	o.next, o.told = nil, time.Now()
}

// wholeRunes is the length of b without a rune at its end that is not complete.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		c := b[len(b)-back]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			return len(b)
		}
	}
	return len(b)
}
