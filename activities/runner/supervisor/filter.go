package supervisor

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

// maxHeld limits how much of a line is held back.
const maxHeld = 16 << 10

// filter takes the pieces of one stream, of any size, and passes on what is kept. It removes lines
// that are directives and, when a program overwrites a line with carriage returns, the states that
// nobody could still see.
//
// A line consists of segments separated by carriage returns. The filter holds back the end of a
// line that may be a directive or overwritten; release passes it on.
type filter struct {
	text     func(b []byte)
	progress func(p Progress)

	out []byte // output of the current call

	cur     []byte // the segment being written
	prev    []byte // the previous segment, while it may still be dropped
	hasPrev bool
	partial bool // part of the current segment has been passed on
	owed    bool // a carriage return is due before the current segment
	begun   bool // part of this line has been passed on
}

// take takes a piece of the stream.
func (f *filter) take(b []byte) {
	if !f.midway() && bytes.IndexByte(b, '\r') < 0 && !bytes.Contains(b, []byte("##")) && !bytes.HasSuffix(b, []byte("#")) {
		f.text(b) // the usual case
		f.begun = b[len(b)-1] != '\n'
		f.partial = f.begun
		return
	}
	for {
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			break
		}
		f.cur = append(f.cur, b[:i]...)
		if b[i] == '\n' {
			f.endLine()
		} else {
			f.endSegment()
		}
		b = b[i+1:]
	}
	f.cur = append(f.cur, b...)
	if !f.hold() {
		f.emitCur()
	}
	f.pass()
}

// held reports whether something is held back.
func (f *filter) held() bool { return f.hasPrev || len(f.cur) > 0 }

// release passes on what is held back.
func (f *filter) release() {
	f.settlePrev()
	f.emitCur()
	f.pass()
}

func (f *filter) pass() {
	if len(f.out) > 0 {
		f.text(f.out)
		f.out = f.out[:0]
	}
}

// midway reports whether the line needs more handling.
func (f *filter) midway() bool { return f.held() || f.owed }

func (f *filter) hold() bool {
	switch {
	case len(f.cur)+len(f.prev) > maxHeld:
		return false
	case f.hasPrev || f.owed: // a line being overwritten
		return true
	case f.begun:
		return false
	default:
		n := min(len(f.cur), len(directive))
		return string(f.cur[:n]) == directive[:n]
	}
}

func (f *filter) endLine() {
	if !f.begun && !f.hasPrev {
		if p, ok := parseDirective(f.cur); ok {
			f.cur = f.cur[:0]
			f.pass() // earlier output goes first
			f.progress(p)
			return
		}
	}
	f.settlePrev()
	f.emitCur()
	if f.owed {
		f.out = append(f.out, '\r')
	}
	f.out = append(f.out, '\n')
	f.hasPrev, f.partial, f.owed, f.begun = false, false, false, false
}

func (f *filter) endSegment() {
	if f.partial { // pass on all of it, since it may have been seen
		f.emitCur()
		f.partial, f.owed = false, true
		return
	}
	f.settlePrev()
	f.prev, f.hasPrev = append(f.prev[:0], f.cur...), true
	f.cur = f.cur[:0]
}

// settlePrev drops the previous segment if the current one covers it; otherwise it passes it on.
func (f *filter) settlePrev() {
	if !f.hasPrev {
		return
	}
	f.hasPrev = false
	if covers(f.prev, f.cur) {
		f.owed = f.owed || f.begun
		return
	}
	f.emit(f.prev)
	f.owed = true
}

func (f *filter) emitCur() {
	if len(f.cur) > 0 {
		f.emit(f.cur)
		f.cur = f.cur[:0]
		f.partial = true
	}
}

func (f *filter) emit(b []byte) {
	if f.owed {
		f.out = append(f.out, '\r')
		f.owed = false
	}
	f.out = append(f.out, b...)
	f.begun = true
}

// sgr is a control sequence that sets colours.
var sgr = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

// covers reports whether nothing of a segment stays visible once the next one is written over it.
// If unsure, it says no.
func covers(old, next []byte) bool {
	if len(old) == 0 {
		return true
	}
	if bytes.IndexByte(old, 0x1b) >= 0 {
		marks := sgr.FindAll(old, -1)
		if len(marks) == 0 {
			return false
		}
		if last := marks[len(marks)-1]; string(last) != "\x1b[0m" && string(last) != "\x1b[m" {
			return false // its colours would be missing in what follows
		}
		old = sgr.ReplaceAll(old, nil)
	}
	if bytes.IndexFunc(old, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return false
	}
	if bytes.Contains(next, []byte("\x1b[K")) || bytes.HasPrefix(next, []byte("\x1b[2K")) {
		return true
	}
	next = sgr.ReplaceAll(next, nil)
	if bytes.IndexFunc(next, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return false
	}
	return utf8.RuneCount(next) >= utf8.RuneCount(old)
}
