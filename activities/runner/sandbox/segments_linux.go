package sandbox

import (
	"time"

	"golang.org/x/sys/unix"
)

// The step's System V segments are visible only in its IPC namespace: one that no process has
// attached is in no list but this.
const (
	segmentsFile  = "/proc/sysvipc/shm"
	segmentsEvery = 50 * time.Millisecond
	segmentsMost  = 1 << 20 // of text: the kernel has 4,096 segments at most
)

// watchesSegments says whether the supervisor needs to know the step's segments, because it
// measures the step's memory itself.
func (sb *sandbox) watchesSegments() bool {
	return sb.MemoryBytes > 0 && sb.isMissing(LayerCgroupMemory) && sb.has(LayerIPC)
}

// watchSegments reports the memory of the segments whenever it changes. Otherwise it makes no
// garbage, because init does not collect any.
func watchSegments(tell func(bytes int64)) {
	fd, err := unix.Open(segmentsFile, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // a kernel without segments
	}
	text := make([]byte, segmentsMost)
	told := int64(-1)
	for tick := time.NewTicker(segmentsEvery); ; <-tick.C {
		n := 0
		if _, err := unix.Seek(fd, 0, 0); err != nil {
			return
		}
		for n < len(text) {
			got, err := unix.Read(fd, text[n:])
			if err != nil || got == 0 {
				break
			}
			n += got
		}
		if bytes := segmentBytes(text[:n]); bytes != told {
			told = bytes
			tell(bytes)
		}
	}
}

// segmentBytes adds up how much of the segments is in memory or swapped out: columns of proc(5)'s
// sysvipc/shm.
func segmentBytes(text []byte) int64 {
	const resident, swapped = 14, 15
	var sum, number int64
	column, in := -1, false
	for _, c := range text {
		switch {
		case c == '\n':
			column, in, number = -1, false, 0
			continue
		case c == ' ':
			in = false
			continue
		case !in:
			column, in, number = column+1, true, 0
		}
		if c >= '0' && c <= '9' && (column == resident || column == swapped) {
			digit := int64(c - '0')
			sum += 9*number + digit // the number's new value minus its old one
			number = 10*number + digit
		}
	}
	return sum
}
