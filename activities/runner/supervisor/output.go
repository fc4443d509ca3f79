//go:build unix

package supervisor

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/schema"
)

const (
	// readBytes is the most that is read at once, and so the most in a frame.
	readBytes = 64 << 10
	// holdFor is how long part of a line is held back, see [filter]: how often a progress bar
	// moves.
	holdFor = 500 * time.Millisecond
	// progressEvery is how often the program's progress is passed on.
	progressEvery = 100 * time.Millisecond
)

// lateBytes is more than a pipe can hold after all of its writers have been ended. Anything beyond
// comes from a process that cannot be ended.
const lateBytes = 4 << 20

// lastOutputTimeout is how long the last output of a step waits for a full disk after a person ended
// the step.
const lastOutputTimeout = 5 * time.Second

// output carries what the program prints into the spool.
type output struct {
	spool          *spool.Writer
	waits          func(why string) // reports what the spool waits for; "" when it goes on
	limit          outputLimit
	stdout, stderr *os.File // the program's ends
	pipes          []*os.File
	readers        sync.WaitGroup
	finishing      atomic.Bool // everything that prints has been ended
	endedByPerson  atomic.Bool // a person has ended the step

	blockedMu sync.Mutex
	blocked   map[spool.Kind]string // why the spool refuses it
	reported  string
	dropped   string // why some output is missing

	mu        sync.Mutex // guards the fields below
	flushedAt time.Time
	next      *Progress // to be passed on, progressEvery apart
}

// newOutput keeps up to limit bytes, 0 for all; it calls more once if there are more.
func newOutput(to *spool.Writer, limit int64, waits func(why string), more func()) (*output, error) {
	o := &output{spool: to, waits: waits, limit: outputLimit{bytes: limit, reached: more}, blocked: map[spool.Kind]string{}}
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

// started closes our copies of the program's ends: the pipes close when the program and everything
// it started are gone.
func (o *output) started() { _, _ = o.stdout.Close(), o.stderr.Close() }

// finish waits until everything is in the spool, as long as that makes progress or waits for disk
// space. It gives up only on a silent pipe: everything that held it open has been ended.
func (o *output) finish() {
	o.finishing.Store(true)
	for _, r := range o.pipes {
		_ = r.SetReadDeadline(time.Now().Add(pipePatience))
	}
	o.readers.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
}

// read reads one stream until it ends.
func (o *output) read(kind spool.Kind, r *os.File) {
	defer r.Close()
	var mu sync.Mutex // guards the filter, whose release runs on a timer
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
	held := 0 // bytes at the start of buf that belong to an incomplete rune
	for late := 0; late < lateBytes; {
		if o.finishing.Load() { // time that the spool waited for space does not count
			_ = r.SetReadDeadline(time.Now().Add(pipePatience))
		}
		n, err := r.Read(buf[held:])
		if o.finishing.Load() {
			late += n
		}
		n += held
		whole := n
		if err == nil {
			whole = wholeRunes(buf[:n])
		}
		mu.Lock()
		if whole > 0 {
			f.take(buf[:whole])
		}
		if f.held() && !due {
			due = true
			release.Reset(holdFor)
		}
		mu.Unlock()
		held = copy(buf, buf[whole:n])
		if err != nil {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	f.release()
}

// write puts text into the spool, in frames, up to the output limit.
func (o *output) write(kind spool.Kind, b []byte) {
	if kept := o.limit.take(byte(kind), len(b)); kept < len(b) {
		b = b[:wholeRunes(b[:kept])]
	}
	for len(b) > 0 {
		n := min(len(b), spool.MaxData)
		if n < len(b) {
			n = wholeRunes(b[:n])
		}
		if !o.put(kind, b[:n]) {
			return
		}
		b = b[n:]
	}
}

// put puts a frame into the spool. If that fails (the disk is full), it retries for as long as it
// takes: the program waits, and nothing is dropped. Only if a person has ended the step is its last
// output given up after some time; the exit says so.
func (o *output) put(kind spool.Kind, b []byte) bool {
	began := time.Now()
	for wait := roomFirstWait; ; wait = min(2*wait, roomLongest) {
		err := o.spool.Write(kind, b)
		if err == nil {
			o.setBlocked(kind, nil)
			return true
		}
		if errors.Is(err, spool.ErrClosed) {
			return false
		}
		o.setBlocked(kind, err)
		if o.finishing.Load() && o.endedByPerson.Load() && o.giveUp(kind, time.Since(began) > lastOutputTimeout) {
			return false
		}
		time.Sleep(wait)
	}
}

// setBlocked records whether the spool can take frames of a kind, and reports a change.
func (o *output) setBlocked(kind spool.Kind, err error) {
	o.blockedMu.Lock()
	defer o.blockedMu.Unlock()
	if err == nil && len(o.blocked) == 0 {
		return
	}
	delete(o.blocked, kind)
	if err != nil {
		o.blocked[kind] = cause(err)
	}
	now := ""
	for _, why := range o.blocked {
		now = max(now, why)
	}
	if now != o.reported {
		o.reported = now
		o.waits(now)
	}
}

// giveUp drops a frame once it has waited long enough, and then every other frame that finds no
// space.
func (o *output) giveUp(kind spool.Kind, late bool) bool {
	o.blockedMu.Lock()
	defer o.blockedMu.Unlock()
	if late && o.dropped == "" {
		o.dropped = "some of its last output is missing: " + o.blocked[kind]
	}
	return o.dropped != ""
}

// cause is the system's error without file names.
func cause(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// setEndedByPerson says that a person waits for the end.
func (o *output) setEndedByPerson() { o.endedByPerson.Store(true) }

// exceeded says whether the program printed more than allowed.
func (o *output) exceeded() bool { return o != nil && o.limit.exceeded() }

// missing says what the spool lacks; "" for nothing.
func (o *output) missing() string {
	if o == nil { // it never began
		return ""
	}
	o.blockedMu.Lock()
	defer o.blockedMu.Unlock()
	if o.dropped == "" && o.exceeded() {
		return "its output was more than " + schema.Size(o.limit.bytes) + ": the rest is missing"
	}
	return o.dropped
}

// progress passes on the program's progress, at most the newest per interval.
func (o *output) progress(p Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.next == nil
	if !first && p.Progress == nil {
		p.Progress = o.next.Progress
	}
	o.next = &p
	if wait := progressEvery - time.Since(o.flushedAt); wait <= 0 {
		o.flush()
	} else if first {
		time.AfterFunc(wait, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.flush()
		})
	}
}

func (o *output) flush() {
	if o.next == nil {
		return
	}
	if text, err := json.Marshal(o.next); err == nil {
		o.put(spool.Progress, text)
	}
	o.next, o.flushedAt = nil, time.Now()
}

// wholeRunes is the length of b without an incomplete rune at its end.
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
