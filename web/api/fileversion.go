package api

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/schema"
)

// settledAfter is how old a change has to be for its time to tell it from the next one: what changes twice within a tick of
// the file system's clock has the same times before and after. Some file systems count in seconds.
const settledAfter = 2 * time.Second

// fileVersion names the content of a file of a folder. A program can give a file any size and modification time, but not
// the time of its last change, which the kernel sets, so that a reviewer is not shown what is no longer there.
func fileVersion(file *os.File, info fs.FileInfo) string {
	var (
		st  unix.Stat_t
		bad error
	)
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { bad = unix.Fstat(int(fd), &st) })
	}
	if err != nil || bad != nil {
		return ""
	}
	changed := time.Unix(st.Ctim.Unix())
	if age := time.Since(changed); age < settledAfter { // also when it lies ahead
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", st.Ino, changed.UnixNano(), info.ModTime().UnixNano(), info.Size())
}

// snapshotVersion names the content of a file of a snapshot, which never changes.
func snapshotVersion(snapshot, name string) string { return schema.DeriveID("file", snapshot, name) }
