//go:build unix

package supervisor

import "time"

// memoryWatch counts the memory of a step that no cgroup does. What its processes have resident is
// looked at often; what they keep in files that are memory costs more to find, and is looked for
// when the host has more or less of that, or when it matters.
type memoryWatch struct {
	limit    int64
	segments func() int64 // what the step has of those, also where no process does
	beyond   int64        // what counts besides what is resident; below 0 when several processes share it
	shmem    int64        // the host's, at the last look
	at       time.Time
	next     time.Time
}

// correct makes what the step's processes have resident the memory that the step has.
func (w *memoryWatch) correct(now *use) {
	const small = 64 // one in so many of the limit
	began := time.Now()
	shmem := hostShmem()
	news := max(shmem-w.shmem, w.shmem-shmem) > w.limit/small || began.Sub(w.at) > sampleEvery
	if news && !began.Before(w.next) || now.rss+w.beyond > w.limit {
		h := heldBy(now.pids)
		w.beyond, w.shmem, w.at = h.memory+max(w.segments()-h.segments, 0)-h.resident, shmem, began
		w.next = began.Add(share * time.Since(began))
	}
	now.rss = max(now.rss+w.beyond, 0)
}
