//go:build !linux

package testkit

import "time"

// CPU is the time that do takes: this system does not tell the processor time of a thread.
func CPU(do func()) (time.Duration, error) {
	began := time.Now()
	do()
	return time.Since(began), nil
}
