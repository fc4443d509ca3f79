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

const outcomeHelp = "Ends with the session's outcome as exit code: 0 completed, 1 failed, 3 cancelled (or deleted while it was watched), 4 expired, 6 completed with steps that failed; 5 when the watching ended before the session did, 130 after Ctrl-C (the session goes on)."

const askHelp = "Approvals are asked for on a terminal, where you can also edit what is asked about in your editor (VISUAL, EDITOR) and extend the deadline; " +
	"elsewhere the answers are read from standard input, one line each, such as \"approve\" or \"reject because of the units\"."

// watchOneHelp is for commands that start one run of a session with several.
const watchOneHelp = "Ends with that run's outcome as exit code: 0 completed, 1 failed, 3 cancelled, 4 expired, 6 completed with steps that failed; 5 when the watching ended before the run did, 130 after Ctrl-C (the session goes on). " + askHelp
