// Command docs writes the tables of docs/observability.md from what the code declares. Run it with go generate.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/telemetry/journal"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	page, err := os.ReadFile(path) //nolint:gosec // go generate names it
	if err != nil {
		return err
	}
	text := string(page)
	for name, table := range map[string]string{"lines": lines(), "metrics": metrics()} {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !ok || !ended {
			return fmt.Errorf("%s has no place for the table of %s", path, name)
		}
		text = before + begin + table + end + after
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // everyone may read it
}

func lines() string {
	var b strings.Builder
	b.WriteString("| msg | when | attributes besides `session_id` |\n|---|---|---|\n")
	for _, l := range journal.Lines {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", l.Message, l.Help, code(l.Attrs))
	}
	return b.String()
}

func metrics() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | of | what |\n|---|---|---|---|---|\n")
	for _, m := range telemetry.All() {
		by := make([]string, len(m.By))
		for i, p := range m.By {
			by[i] = string(p)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, code(m.Labels), strings.Join(by, ", "), m.Help)
	}
	return b.String()
}

func code(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "`" + strings.Join(words, "`, `") + "`"
}
