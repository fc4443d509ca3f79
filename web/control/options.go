package control

import "time"

// Timeouts and bounds, in one place.
const (
	maxReceipts    = 1000             // cancels of one session that are looked through
	pollerSilence  = 75 * time.Second // a poll of a task queue takes up to a minute
	RequestTimeout = 12 * time.Second // of a caller's request, unless it has one of its own: nothing hangs because a dependency does
	startTimeout   = 2 * time.Second  // of a workflow, within POST /sessions
	CommandTimeout = 8 * time.Second  // of a command, until the workflow has taken it in
	overtakenDelay = 50 * time.Millisecond
	maxUpdates     = 8 // at once on a session; Temporal takes ten by default, and more make it drop what it has begun
	queryTimeout   = 3 * time.Second
	SettleTimeout  = 2 * time.Second  // until Postgres shows an accepted command
	cancelTimeout  = 15 * time.Second // the same for a cancel, which ends processes
	CancelRequest  = CommandTimeout + cancelTimeout + SettleTimeout
	settlePoll     = 250 * time.Millisecond
	sweepInterval  = time.Second
	sweepBatch     = 100
	sweepAge       = 3 * time.Second        // a younger session is still being started by its request
	searchTimeout  = 10 * time.Second       // of one look at the search attributes
	searchPatience = time.Second            // for which starts wait for the first look
	searchRetry    = 250 * time.Millisecond // doubles up to searchRetryMax
	searchRetryMax = 30 * time.Second
	searchRecheck  = 5 * time.Minute // once adding them was refused: somebody may add them by hand
)
