package terminal

import (
	"context"
	"io"
	"os"
	"os/exec"

	"golang.org/x/term"
)

// Edit opens a file in a person's editor and returns when it is closed. editor is a command
// line, like $VISUAL and $EDITOR. The editor shares our process group, as it does under
// git, so Ctrl-Z stops both. The terminal's modes are restored, whatever the editor does to
// them.
func Edit(ctx context.Context, editor, path string, tty *os.File, stdout, stderr io.Writer) error {
	fd := int(tty.Fd())
	if modes, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, modes) }()
	}
	// The person closes it; we must not kill it in the middle of a word.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", editor+` "$@"`, editor, path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, stdout, stderr
	return cmd.Run()
}
