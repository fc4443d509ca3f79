package web

import "time"

// closeAll ends every connection and lets no further one in.
func (r *registry) closeAll(code int, reason string) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	for _, c := range r.all() {
		c.shut(code, reason)
	}
}

// wait returns when the last connection has ended; those that take longer are cut.
func (r *registry) wait(timeout time.Duration) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for r.count() > 0 {
		select {
		case <-r.empty:
		case <-limit.C:
			for _, c := range r.all() {
				_ = c.net.Close()
			}
			limit.Reset(timeout)
		}
	}
}
