package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// editor is $VISUAL, else $EDITOR, else vi.
func (inv *invocation) editor() string {
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if command := inv.env.Get(name); command != "" {
			return command
		}
	}
	return "vi"
}

// edit opens a text in the person's editor. Meanwhile nothing else reads the terminal or
// writes to it: events wait.
func (w *watch) edit(ctx context.Context, tty *os.File, lines *terminal.Lines, text []byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "holdfast-edit-")
	if err != nil {
		return nil, fmt.Errorf("no place for the text to be edited: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "edit.json") // the name tells an editor the language
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("no place for the text to be edited: %w", err)
	}
	resume := lines.Pause()
	defer resume()
	defer w.view.hold()()
	editor := w.inv.editor()
	if err := terminal.Edit(ctx, editor, path, tty, w.inv.stdout, w.inv.stderr); err != nil {
		return nil, fmt.Errorf("the editor %q ended with an error (%w); VISUAL or EDITOR names yours", editor, err)
	}
	edited, _, err := w.inv.readFile(path)
	if err == nil && len(edited) > schema.MaxPlanBytes {
		err = fmt.Errorf("the text has over %d bytes", schema.MaxPlanBytes)
	}
	return edited, err
}

// page shows lines in the person's pager when they do not fit the terminal. Meanwhile
// nothing else reads the terminal or writes to it: events wait.
func (w *watch) page(ctx context.Context, lines *terminal.Lines, text []string) bool {
	out, ok := w.inv.stdout.(*os.File)
	if !ok || !terminal.IsTerminal(out) || rowsOf(text, terminal.Columns(out)) < terminal.Rows(out)-pagerSpare {
		return false
	}
	resume := lines.Pause()
	defer resume()
	defer w.view.hold()()
	return terminal.Page(ctx, w.inv.pager(), strings.Join(text, "\n")+"\n", out, w.inv.stderr) == nil
}

// pagerSpare is the number of rows for the question below.
const pagerSpare = 4
