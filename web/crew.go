package web

import "sync"

// idleHands is how many goroutines of a crew wait for more work.
const idleHands = 32

// crew carries out short work on goroutines that have done such work before. A goroutine's stack grows, by copies,
// with the first deep call, and keeps its size for a long time: what reads a client's frames, and mostly waits, stays
// small when the frames are handled by others, and these need not grow for each of ten thousand clients that connect.
type crew struct {
	work  chan func()
	over  chan struct{}
	hands sync.WaitGroup
	idle  chan struct{} // a semaphore
}

func newCrew() *crew {
	return &crew{work: make(chan func()), over: make(chan struct{}), idle: make(chan struct{}, idleHands)}
}

// do carries out a task and waits until it is done. Any number of tasks run at the same time.
func (c *crew) do(task func()) {
	done := make(chan struct{})
	whole := func() {
		defer close(done)
		task()
	}
	select {
	case c.work <- whole:
	default:
		c.hands.Go(func() { c.hand(whole) })
	}
	<-done
}

func (c *crew) hand(task func()) {
	for {
		task()
		select {
		case c.idle <- struct{}{}:
		default:
			return
		}
		select {
		case task = <-c.work:
			<-c.idle
		case <-c.over:
			return
		}
	}
}

// end dismisses the crew, once nobody calls do any more.
func (c *crew) end() {
	close(c.over)
	c.hands.Wait()
}
