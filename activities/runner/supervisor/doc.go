// Package supervisor is the small process that owns everything a step starts, and the
// protocol in which a worker talks to it.
//
// The worker and a supervisor talk in lines of JSON: orders on the supervisor's standard
// input, reports on its file descriptor 3. Descriptor 4 is the step's lock file, held until
// the supervisor is gone. Standard output and error belong to the program alone. When its
// standard input ends the worker is gone: the supervisor kills what it owns and exits.
//
// It imports as little as it can: a step's start waits for this process's. Only runner, cmd
// and tests import it.
package supervisor
