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

const outcomeHelp = "Ends with the session's outcome as exit code: 0 completed, 1 failed, 3 cancelled (or deleted while it was watched), 4 expired, 6 completed with failed steps; 5 when watching ended before the session did, 130 after Ctrl-C (the session goes on)."

const askHelp = "On a terminal it asks for approvals, and you can also edit what they are about in your editor (VISUAL, EDITOR) and extend the deadline; " +
	"elsewhere it reads the answers from standard input, one line each, such as \"approve\" or \"reject because of the units\"."

// watchOneHelp is for commands that start one run of a session with several.
const watchOneHelp = "Ends with that run's outcome as exit code: 0 completed, 1 failed, 3 cancelled, 4 expired, 6 completed with failed steps; 5 when watching ended before the run did, 130 after Ctrl-C (the session goes on). " + askHelp
