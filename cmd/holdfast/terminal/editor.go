package terminal

import (
	"context"
	"io"
	"os"
	"os/exec"

	"golang.org/x/term"
)

// Edit opens a file in a person's editor and returns when it is closed. editor is a command
// line, as $VISUAL and $EDITOR are. The editor shares the process group, as it does under
// git: what stops one of them with Ctrl-Z stops both. The terminal's modes are put back
// whatever the editor leaves behind.
func Edit(ctx context.Context, editor, path string, tty *os.File, stdout, stderr io.Writer) error {
	fd := int(tty.Fd())
	if modes, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, modes) }()
	}
	// It is the person's to close, not ours to kill in the middle of a word.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", editor+` "$@"`, editor, path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, stdout, stderr
	return cmd.Run()
}
