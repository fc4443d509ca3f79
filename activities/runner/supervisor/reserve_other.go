//go:build unix && !linux

package supervisor

import (
	"os"
	"syscall"
)

func reserve(*os.File, int64) error { return syscall.ENOTSUP }
