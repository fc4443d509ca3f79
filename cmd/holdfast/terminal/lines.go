package terminal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Lines are the lines of a reader, one at a time.
//
// On a terminal, reading can be paused so that another program (an editor) gets what is
// typed, and it ends with its context. With any other reader, a read under way cannot be
// interrupted: it ends with the next line or the end of the reader, at the latest with the
// process.
type Lines struct {
	c       chan string
	pause   chan pause // holds at most one
	stopped chan struct{}
	wake    *os.File // nil unless the reader is a terminal
	one     bool     // read one line only: the terminal's next line is for whoever asks next
}

type pause struct{ parked, over chan struct{} }

const maxLine = 1 << 20

// ReadLines reads lines from r until it ends or ctx does.
func ReadLines(ctx context.Context, r io.Reader) *Lines { return read(ctx, r, false) }

// ReadLine reads one line; false says that there is none, or that ctx has ended. Lines typed
// ahead on a terminal stay for the next call.
func ReadLine(ctx context.Context, r io.Reader) (string, bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case line, ok := <-read(ctx, r, true).C():
		return line, ok
	case <-ctx.Done():
		return "", false
	}
}

func read(ctx context.Context, r io.Reader, one bool) *Lines {
	l := &Lines{c: make(chan string), pause: make(chan pause, 1), stopped: make(chan struct{}), one: one}
	f, ok := r.(*os.File)
	if !ok || !IsTerminal(f) {
		go l.scan(ctx, r)
		return l
	}
	wakened, wake, err := os.Pipe()
	if err != nil {
		go l.scan(ctx, r)
		return l
	}
	l.wake = wake
	go l.poll(ctx, f, wakened)
	return l
}

// C delivers the lines. It is closed when there are no more.
func (l *Lines) C() <-chan string { return l.c }

// Pause stops reading a terminal until resume is called, and discards a line that nobody has
// taken yet. For any other reader it does nothing. Resume may be called twice.
func (l *Lines) Pause() (resume func()) {
	if l.wake == nil {
		return func() {}
	}
	p := pause{make(chan struct{}), make(chan struct{})}
	select {
	case l.pause <- p:
		_, _ = l.wake.Write([]byte{0})
	case <-l.stopped:
		return func() {}
	}
	select {
	case <-p.parked:
	case <-l.stopped:
	}
	return sync.OnceFunc(func() { close(p.over) })
}

func (l *Lines) scan(ctx context.Context, r io.Reader) {
	defer close(l.stopped)
	defer close(l.c)
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		select {
		case l.c <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
}

// poll reads a terminal only when there is something to read, so that it is never stuck in
// a read when somebody else should get what is typed.
func (l *Lines) poll(ctx context.Context, f, wakened *os.File) {
	defer close(l.stopped)
	defer close(l.c)
	defer func() { _, _ = wakened.Close(), l.wake.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = l.wake.Write([]byte{0}) })
	defer stop()
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}, {Fd: int32(wakened.Fd()), Events: unix.POLLIN}}
	var pending []byte
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		if fds[1].Revents != 0 {
			_, _ = wakened.Read(buf[:1])
			select {
			case p := <-l.pause:
				pending = nil
				l.park(ctx, p)
			default:
			}
			continue // look again: somebody else may have read it
		}
		n, err := f.Read(buf) // a terminal returns at most one line
		line := bytes.IndexByte(buf[:n], '\n') >= 0
		pending = l.send(ctx, append(pending, buf[:n]...))
		if err != nil || n == 0 || l.one && line {
			return
		}
	}
}

// send hands over the whole lines of text and returns the rest.
func (l *Lines) send(ctx context.Context, text []byte) []byte {
	for {
		line, rest, found := bytes.Cut(text, []byte("\n"))
		if !found {
			return text[:min(len(text), maxLine)]
		}
		select {
		case l.c <- string(bytes.TrimSuffix(line, []byte("\r"))):
		case p := <-l.pause:
			l.park(ctx, p)
			return nil
		case <-ctx.Done():
			return nil
		}
		text = rest
	}
}

func (l *Lines) park(ctx context.Context, p pause) {
	close(p.parked)
	select {
	case <-p.over:
	case <-ctx.Done():
	}
}
