package cli

import "strings"

// example is the last part of every command's help. Indented lines are shown as they are.
func example(lines ...string) string {
	title := "Example:"
	if len(lines) > 1 {
		title = "Examples:"
	}
	return title + "\n\n    " + strings.Join(lines, "\n    ")
}

const outcomeHelp = "Ends with the session's outcome as exit code: 0 completed, 1 failed, 3 cancelled, 4 expired; 5 when the watching ended before the session did, 130 after Ctrl-C (the session goes on)."
