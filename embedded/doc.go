// Package embedded starts the servers that holdfast up brings with it: Postgres from the npm binaries and the
// Temporal development server, each as a child process.
//
// A server is described by a struct, prepared once (data folder, password, port), and then started as often as
// needed on the same port with the same data. It listens on 127.0.0.1 only. Every child runs in a process group of
// its own and, on Linux, the kernel ends it when the process that started it dies, however it dies.
//
// Postgres refuses to run as root, so a root process starts it in a user namespace in which it is nobody.
//
// It imports nothing of ours, so that tests of every package may use it, through embeddedtest.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli, cmd/holdfast/stack, embedded/embeddedtest.
package embedded
