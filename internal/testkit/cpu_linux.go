package testkit

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that do takes in its own goroutine. Unlike wall time, it does not depend
// on what else the machine does.
func CPU(do func()) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadCPU()
	if err != nil {
		return 0, err
	}
	do()
	after, err := threadCPU()
	return after - before, err
}

func threadCPU() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
