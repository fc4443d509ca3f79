package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

const stdinName = "<stdin>"

// readFile reads a file, or standard input for -, and returns its name for messages. It reads at
// most one byte over a plan's limit: a longer one is refused by its size.
func (inv *invocation) readFile(path string) (text []byte, name string, err error) {
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(inv.stdin, schema.MaxPlanBytes+1))
		return text, stdinName, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, path, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, path, fmt.Errorf("%s is a folder", path)
	}
	text, err = io.ReadAll(io.LimitReader(f, schema.MaxPlanBytes+1))
	return text, path, err
}

// readPlan reads and checks a plan's text; nothing says what was not done if the plan is bad.
// The server gets the text itself and checks it again.
func (inv *invocation) readPlan(path, nothing string) ([]byte, error) {
	text, name, err := inv.readFile(path)
	if err != nil {
		return nil, usage("the plan cannot be read: %w", err)
	}
	problems, supported := planProblems(text)
	for _, p := range problems {
		inv.notef("%s\n", terminal.Clean(name)+":"+p)
	}
	switch {
	case len(problems) == 0:
		return text, nil
	case supported:
		return nil, usage("the plan has %s; %s", counted(len(problems), "problem"), nothing)
	default:
		return nil, withCode(exitUsage, errors.New("the plan asks for what this version cannot do; "+nothing))
	}
}

// planProblems lists the problems in a plan's text, each as "LINE:COLUMN: place: message".
// supported is false when the plan is valid, but not for this version.
func planProblems(text []byte) (lines []string, supported bool) {
	plan, problems := schema.ParsePlan(text)
	if supported = plan == nil; !supported {
		problems = plan.UnsupportedIn(text)
	}
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%d:%d: %s%s", p.Line, p.Column, where(p.Location), terminal.Clean(p.Message)))
	}
	return lines, supported
}

// fieldProblems formats errors about places in a JSON text, each as "LINE:COLUMN: place: message".
func fieldProblems(text []byte, errs []schema.FieldError) []string {
	lines := make([]string, 0, len(errs))
	for _, e := range errs {
		line, column := position(text, locate(text, e.Location))
		lines = append(lines, fmt.Sprintf("%d:%d: %s%s", line, column, where(e.Location), terminal.Clean(e.Message)))
	}
	return lines
}

func where(location string) string {
	if location == "" {
		return ""
	}
	return terminal.Clean(location) + ": "
}
