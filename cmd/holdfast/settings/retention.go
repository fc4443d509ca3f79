package settings

import "time"

// Retention says what happens to the logs of sessions whose runs are over. 0 is never.
type Retention struct {
	CompactAfter time.Duration // their output becomes blocks
	ArchiveAfter time.Duration // blocks go to the blob store
	DeleteAfter  time.Duration // the session is deleted
}

const (
	maxRetention     = 10 * 365 * 24 * time.Hour
	allowedRetention = "never, or a duration such as 720h, from 1s to 87600h"
)

func (r *Retention) specs() []spec {
	return []spec{
		{name: "HOLDFAST_COMPACT_AFTER", def: "1h", allowed: allowedRetention, help: "how long after the end of a session's latest run its output is merged and compressed", parse: retention(&r.CompactAfter)},
		{name: "HOLDFAST_ARCHIVE_AFTER", def: "720h", allowed: allowedRetention, help: "how long merged output stays in Postgres before it goes to the blob store", parse: retention(&r.ArchiveAfter)},
		{name: "HOLDFAST_DELETE_AFTER", def: "never", allowed: allowedRetention, help: "how long after the end of its latest run a session is deleted", parse: retention(&r.DeleteAfter)},
	}
}

// retention takes a duration, or never, which is 0.
func retention(to *time.Duration) func(string) bool {
	return func(s string) bool {
		if s == "never" {
			*to = 0
			return true
		}
		return duration(to, time.Second, maxRetention)(s)
	}
}
