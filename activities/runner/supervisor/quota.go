//go:build unix

package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// pauseFactor limits the time spent measuring a step, to one part in so many.
const pauseFactor = 20

// quotaWatch checks whether a step keeps more on the disk than its quota, as often as that is
// cheap. It counts the workspace, the step's own /tmp, and deleted files that are still open.
type quotaWatch struct {
	work, tmp    string
	nameless     func() usage
	bytes, files int64
	stop         <-chan struct{}
}

// run checks until stop is closed, and reports what exceeds the quota.
func (q *quotaWatch) run(tooMuch func(why string)) {
	if q.bytes <= 0 && q.files <= 0 {
		return
	}
	for wait := watchEvery; ; {
		select {
		case <-q.stop:
			return
		case <-time.After(wait):
		}
		began := time.Now()
		if why := q.look(); why != "" {
			tooMuch(why)
		}
		wait = max(sampleEvery, pauseFactor*time.Since(began))
	}
}

// look says what exceeds the quota; "" if nothing does.
func (q *quotaWatch) look() string {
	n := newCounter(q.files, q.stop)
	parts := []part{{"the workspace", n.folder(q.work)}, {"/tmp", n.folder(q.tmp)}, {"the set of deleted files still open", q.nameless()}}
	var all usage
	for _, p := range parts {
		all.bytes, all.files = all.bytes+p.bytes, all.files+p.files
	}
	switch {
	case n.stopped:
		return ""
	case n.tooDeep:
		return fmt.Sprintf("it made more than %d nested folders", maxFolders)
	case q.bytes > 0 && all.bytes > q.bytes:
		has, may := schema.Sizes(all.bytes, q.bytes)
		return overText(parts, "takes", has, may, func(u usage) string {
			if u.bytes == 0 {
				return ""
			}
			return schema.Size(u.bytes)
		})
	case q.files > 0 && all.files > q.files:
		return overText(parts, "has", fmt.Sprintf("%d files", all.files), strconv.FormatInt(q.files, 10), func(u usage) string {
			if u.files == 0 {
				return ""
			}
			return fmt.Sprintf("%d files", u.files)
		})
	default:
		return ""
	}
}

// part is one of the things that count.
type part struct {
	name string
	usage
}

// overText says how much there is, where, and how much is allowed.
func overText(parts []part, verb, all, may string, text func(usage) string) string {
	var of []string
	where := ""
	for _, p := range parts {
		if has := text(p.usage); has != "" {
			where = p.name + " " + verb + " "
			of = append(of, where+has)
		}
	}
	if len(of) == 1 {
		return where + all + "; the limit is " + may
	}
	return strings.Join(of, ", ") + ": " + all + " in total; the limit is " + may
}
