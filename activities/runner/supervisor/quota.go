//go:build unix

package supervisor

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// quotaWatch looks whether a workspace is over its quota, as often as that costs little.
type quotaWatch struct {
	dir          string
	bytes, files int64
	next         time.Time
}

// look says what is too much; "" when nothing is, or when it is too early to look again.
func (q *quotaWatch) look() string {
	began := time.Now()
	if (q.bytes <= 0 && q.files <= 0) || began.Before(q.next) {
		return ""
	}
	bytes, files := usage(q.dir)
	const share = 20 // of the time, at most
	q.next = began.Add(max(sampleEvery, share*time.Since(began)))
	switch {
	case q.bytes > 0 && bytes > q.bytes:
		has, may := schema.Sizes(bytes, q.bytes)
		return fmt.Sprintf("the workspace takes %s, and may take %s", has, may)
	case q.files > 0 && files > q.files:
		return fmt.Sprintf("the workspace has %d files, and may have %d", files, q.files)
	default:
		return ""
	}
}

// usage is what a folder takes on the disk, and how many files it has. Links are not followed.
func usage(dir string) (bytes, files int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went meanwhile, or cannot be read: it counts nothing
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += st.Blocks * blockBytes
		}
		files++ // folders, too, as when the workspace is kept
		return nil
	})
	return bytes, files
}
