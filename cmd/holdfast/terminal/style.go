package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Columns is a terminal's width; 80 when w is not a terminal.
func Columns(w any) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// Style colours text, or leaves it as it is.
type Style struct{ On bool }

// Dumb is the TERM of a terminal without escape sequences.
const Dumb = "dumb"

// StyleFor colours when w is a terminal with colours and NO_COLOR is not set (no-color.org).
func StyleFor(w io.Writer, env func(name string) string) Style {
	return Style{On: env("NO_COLOR") == "" && env("TERM") != Dumb && IsTerminal(w)}
}

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s Style) paint(code, text string) string {
	if !s.On || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold, Dim and the colours return text in that style.

// Bold is heavier.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Dim is quieter.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Red is for what failed.
func (s Style) Red(text string) string { return s.paint("31", text) }

// Green is for what succeeded.
func (s Style) Green(text string) string { return s.paint("32", text) }

// Yellow is for what waits for a person.
func (s Style) Yellow(text string) string { return s.paint("33", text) }

// Blue is for what is in progress.
func (s Style) Blue(text string) string { return s.paint("34", text) }

// Nth colours labels so that colour tells them apart.
func (s Style) Nth(n int, text string) string {
	codes := []string{"36", "35", "34", "33", "32", "96", "95", "94"}
	return s.paint(codes[n%len(codes)], text)
}
