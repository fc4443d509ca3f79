package testkit

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that do takes in its goroutine. Unlike the time that passes it does not
// depend on what else the machine does.
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
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
