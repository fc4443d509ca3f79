package snapshot

import (
	"github.com/holdfast/holdfast/schema"
)

// Quota limits a workspace; 0 is no limit.
type Quota struct {
	Bytes int64 // on the disk, as du counts: holes take none, a file with several names counts once
	Files int64 // everything that has a name: files, folders, links
}

// Usage is the size of a workspace.
type Usage struct {
	Bytes int64
	Files int64
}

// Check returns an error if a usage is over the quota: [schema.CodeTooLarge], with a message for
// the author of the plan. See [Exceeds].
func (q Quota) Check(u Usage) error {
	switch {
	case q.Bytes > 0 && u.Bytes > q.Bytes:
		takes, may := schema.Sizes(u.Bytes, q.Bytes)
		return schema.Errorf(schema.CodeTooLarge, "the workspace takes %s; the limit is %s", takes, may)
	case q.Files > 0 && u.Files > q.Files:
		return schema.Errorf(schema.CodeTooLarge, "the workspace holds %d files and folders; the limit is %d", u.Files, q.Files)
	default:
		return nil
	}
}

// Exceeds reports whether an error says that a workspace is too large to be saved: over its quota,
// or deeper than makes sense. The attempt that made it so failed with disk_quota.
func Exceeds(err error) bool { return schema.CodeOf(err) == schema.CodeTooLarge }

// counter adds up a usage.
type counter struct {
	Usage

	seen map[[2]uint64]bool // files with several names
}

func (c *counter) add(s *stat) {
	c.Files++
	if s.Kind == File {
		if s.Nlink > 1 {
			id := [2]uint64{s.Dev, s.Ino}
			if c.seen[id] {
				return
			}
			if c.seen == nil {
				c.seen = map[[2]uint64]bool{}
			}
			c.seen[id] = true
		}
		c.Bytes += min(s.Size, s.Disk)
	}
}
