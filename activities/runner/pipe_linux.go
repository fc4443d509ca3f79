package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeBytes is how much a program can print ahead of its reader: the most that an
// unprivileged process may ask for (/proc/sys/fs/pipe-max-size).
const pipeBytes = 1 << 20

// widen makes a pipe as large as it may be; a smaller one works too, only slower.
func widen(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
}
