package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
)

//go:generate go run ./reference ../../../docs/cli-reference.md

// WriteReference writes the --help of every command, as Markdown.
func WriteReference(w io.Writer) error {
	parser, err := kong.New(&commands{}, kong.Name("holdfast"), durations(), kong.Vars{"default_url": settings.DefaultURL, "default_addr": settings.DefaultAddr})
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Command reference\n\nWhat `--help` says of every command; made by `go generate`. [cli.md](cli.md) shows them at work.\n")
	for _, leaf := range parser.Model.Leaves(true) {
		command, _, _ := strings.Cut(leaf.Path(), " <")
		fmt.Fprintf(&b, "\n## holdfast %s\n\n```\n", command)
		var help strings.Builder
		Run(context.Background(), append(strings.Fields(command), "--help"), strings.NewReader(""), &help, io.Discard, nil)
		for line := range strings.Lines(strings.TrimSpace(help.String())) {
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
		b.WriteString("```\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}
