// Package terminal is how the commands write to people: colours on terminals only, aligned
// tables, times in words, and text from programs made safe to print.
//
// Text that comes from a session (names, output, feedback) is not to be trusted. [Clean] and
// [Cleaner] let only colours and moves within the line through to a terminal: no sequence that
// sets the clipboard or the title, asks the terminal to answer, or leaves the line.
//
// [Lines] reads what a person types and can hand over the terminal for a while; [Edit] takes
// it for the person's editor.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli.
package terminal
