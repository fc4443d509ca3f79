package terminal

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/term"
)

// Rows is a terminal's height; 0 when w is not a terminal.
func Rows(w any) int {
	if f, ok := w.(*os.File); ok {
		if _, rows, err := term.GetSize(int(f.Fd())); err == nil {
			return rows
		}
	}
	return 0
}

// Page shows a text in a person's pager and returns when it is closed. pager is a command
// line, like $PAGER. The text must be safe to print, with no escape sequences but colours.
// The terminal's modes are restored, whatever the pager does to them.
func Page(ctx context.Context, pager, text string, tty *os.File, stderr io.Writer) error {
	fd := int(tty.Fd())
	if modes, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, modes) }()
	}
	// The person closes it; we must not kill it while it is being read.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", pager)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), tty, stderr
	if os.Getenv("LESS") == "" {
		cmd.Env = append(os.Environ(), "LESS=R")
	}
	return cmd.Run()
}
