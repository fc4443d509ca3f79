package terminal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/term"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal/terminaltest"
)

func next(t *testing.T, l *terminal.Lines) (string, bool) {
	t.Helper()
	select {
	case line, more := <-l.C():
		return line, more
	case <-time.After(10 * time.Second):
		t.Fatal("no line comes")
		return "", false
	}
}

func typed(t *testing.T, person *os.File, text string) {
	t.Helper()
	if _, err := person.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLines_OfAPipeEndWithIt(t *testing.T) {
	t.Parallel()
	l := terminal.ReadLines(t.Context(), strings.NewReader("a\nb"))
	l.Pause()()
	for _, want := range []string{"a", "b"} {
		if got, more := next(t, l); got != want || !more {
			t.Errorf("got %q, %t, want %q", got, more, want)
		}
	}
	if _, more := next(t, l); more {
		t.Error("there is more")
	}
}

func TestLines_OfATerminalLeaveItToAnotherWhilePaused(t *testing.T) {
	t.Parallel()
	person, program := terminaltest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := terminal.ReadLines(ctx, program)
	typed(t, person, "one\n")
	if got, _ := next(t, l); got != "one" {
		t.Errorf("got %q", got)
	}
	for range 20 {
		resume := l.Pause()
		typed(t, person, "for the other\n")
		buf := make([]byte, 100)
		if n, err := program.Read(buf); err != nil || string(buf[:n]) != "for the other\n" {
			t.Fatalf("the other reads %q, %v", buf[:n], err)
		}
		resume()
		typed(t, person, "back\n")
		if got, _ := next(t, l); got != "back" {
			t.Fatalf("got %q", got)
		}
	}
	// The pause discards a line that nobody has taken: it was typed before.
	typed(t, person, "stale\n")
	resume := l.Pause()
	resume()
	resume()
	typed(t, person, "fresh\n")
	for got := ""; got != "fresh"; { // the pause may have come before the line was read
		if got, _ = next(t, l); got != "fresh" && got != "stale" {
			t.Errorf("got %q", got)
		}
	}
	cancel()
	if _, more := next(t, l); more {
		t.Error("there is more after the end of the context")
	}
	l.Pause()() // must not wait for a reader that has ended
}

func TestLines_OfATerminalEndWithCtrlD(t *testing.T) {
	t.Parallel()
	person, program := terminaltest.Open(t)
	l := terminal.ReadLines(t.Context(), program)
	typed(t, person, "one\n\x04")
	if got, more := next(t, l); got != "one" || !more {
		t.Errorf("got %q, %t", got, more)
	}
	if _, more := next(t, l); more {
		t.Error("there is more after Ctrl-D")
	}
}

func TestReadLine_LeavesWhatWasTypedAhead(t *testing.T) {
	t.Parallel()
	for range 50 {
		person, program := terminaltest.Open(t)
		typed(t, person, "one\n\nthree\n\x04")
		for _, want := range []string{"one", "", "three"} {
			if got, ok := terminal.ReadLine(t.Context(), program); got != want || !ok {
				t.Fatalf("got %q, %t, want %q", got, ok, want)
			}
		}
		if got, ok := terminal.ReadLine(t.Context(), program); ok {
			t.Fatalf("got %q after Ctrl-D", got)
		}
	}
}

func TestEdit_PutsBackTheModesThatTheEditorLeaves(t *testing.T) {
	t.Parallel()
	_, program := terminaltest.Open(t)
	before, err := term.GetState(int(program.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a b.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Edit(t.Context(), `stty raw -echo; sed -i s/old/new/`, path, program, os.Stderr, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("the file has %q", got)
	}
	after, err := term.GetState(int(program.Fd()))
	if err != nil || fmt.Sprint(*after) != fmt.Sprint(*before) {
		t.Errorf("the modes are %v, want %v (%v)", after, before, err)
	}
}
