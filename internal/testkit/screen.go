package testkit

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Screen keeps what is written to it: by a command, or as a log. A test reads it meanwhile.
type Screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String is all that was written so far.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Await waits until the text was written.
func (s *Screen) Await(tb testing.TB, text string) {
	tb.Helper()
	EventuallyRight(tb, "the text "+text, func() string {
		if all := s.String(); !strings.Contains(all, text) {
			return "there is " + all
		}
		return ""
	})
}

// Logger logs lines of text to the screen, from this level up.
func (s *Screen) Logger(from slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: from}))
}
