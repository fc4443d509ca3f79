// Package runner runs the steps of plans, each in a process tree of its own.
//
// A step's program is started by a supervisor: a small process (`holdfast supervise`) that
// owns everything the program starts. Descendants that lose their parent, daemons included,
// become the supervisor's children, so that stop, freeze and the end of the step reach all
// of them. The supervisor ends with its worker: when the pipe between them closes, it kills
// the tree and exits.
//
// What the package promises:
//
//   - output reaches the recorder in the order in which it was read, in chunks, each once,
//     and nothing is dropped: while the recorder is away the program blocks on its pipe;
//   - while one attempt at a step has a process on this host, no other attempt is started;
//   - a caller that loses its connection detaches; the next call for the same execution
//     attaches to what runs;
//   - a stop counts what it ended, and what it could not end.
//
// Only activities and cmd import it.
package runner
