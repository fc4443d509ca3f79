package supervisor

import (
	"os"

	"golang.org/x/sys/unix"
)

// reserve reserves disk space for the first n bytes of a file.
func reserve(f *os.File, n int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, n) }
