//go:build unix

package supervisor

import "time"

// memoryWatch measures the memory of a step without a cgroup. It checks the processes' resident
// memory often. Memory in files (such as memfd) costs more to find, so it is only looked for when
// the host's total changes or when it matters.
type memoryWatch struct {
	limit    int64
	segments func() int64 // the step's System V segments, including those that no process holds
	beyond   int64        // what counts besides resident memory; negative when several processes share some
	shmem    int64        // the host's total at the last look
	at       time.Time
	next     time.Time
}

// correct turns the processes' resident memory into the memory of the step.
func (w *memoryWatch) correct(now *use) {
	const small = 64 // fraction of the limit
	began := time.Now()
	shmem := hostShmem()
	news := max(shmem-w.shmem, w.shmem-shmem) > w.limit/small || began.Sub(w.at) > sampleEvery
	if news && !began.Before(w.next) || now.rss+w.beyond > w.limit {
		h := heldBy(now.pids)
		w.beyond, w.shmem, w.at = h.memory+max(w.segments()-h.segments, 0)-h.resident, shmem, began
		w.next = began.Add(pauseFactor * time.Since(began))
	}
	now.rss = max(now.rss+w.beyond, 0)
}
