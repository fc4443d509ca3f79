package socket

import "sync"

// maxIdle is how many goroutines of a pool wait for more work.
const maxIdle = 32

// pool carries out short work on goroutines that have done such work before. A goroutine's stack grows, by copies,
// with the first deep call, and keeps its size for a long time: a connection's reader, which mostly waits, stays small
// when its frames are handled by others, and those need not grow for each of ten thousand clients that connect.
type pool struct {
	work    chan func()
	stopped chan struct{}
	workers sync.WaitGroup
	idle    chan struct{} // a semaphore
}

func newPool() *pool {
	return &pool{work: make(chan func()), stopped: make(chan struct{}), idle: make(chan struct{}, maxIdle)}
}

// do carries out a task and waits until it is done. Any number of tasks run at the same time.
func (p *pool) do(task func()) {
	done := make(chan struct{})
	whole := func() {
		defer close(done)
		task()
	}
	select {
	case p.work <- whole:
	default:
		p.workers.Go(func() { p.worker(whole) })
	}
	<-done
}

func (p *pool) worker(task func()) {
	for {
		task()
		select {
		case p.idle <- struct{}{}:
		default:
			return
		}
		select {
		case task = <-p.work:
			<-p.idle
		case <-p.stopped:
			return
		}
	}
}

// stop ends the pool's goroutines, once nobody calls do any more.
func (p *pool) stop() {
	close(p.stopped)
	p.workers.Wait()
}
