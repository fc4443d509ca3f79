// Package terminal is what the commands write to people with: colours that are only there on a
// terminal, aligned tables, times in words, and text from programs made safe to print.
//
// Text that comes from a session (names, output, feedback) is somebody else's. [Clean] and
// [Cleaner] let colours and moves within the line through to a terminal and nothing more: no
// sequence that sets the clipboard or the title, asks the terminal to answer, or leaves the
// line.
//
// [Lines] reads what a person types and can leave the terminal to somebody else for a while;
// [Edit] is that somebody: the person's editor.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli.
package terminal
