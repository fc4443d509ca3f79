// Package embedded starts the servers that holdfast up brings with it: Postgres from the npm binaries and the
// Temporal development server, each as a child process.
//
// A server is described by a struct, prepared once (data folder, password, port), and then started as often as
// needed on the same port with the same data. It listens on 127.0.0.1 only. Every child runs in a process group of
// its own and, on Linux, is ended by the kernel when the process that started it dies, however it dies.
//
// As root, Postgres (which refuses to run as root) is started in a user namespace in which it is nobody.
//
// It imports nothing of ours, so that the tests of every package may use it, by way of embeddedtest.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli, cmd/holdfast/stack, embedded/embeddedtest.
package embedded
