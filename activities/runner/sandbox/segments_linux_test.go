package sandbox

import "testing"

func TestSegmentBytes_AddsUpWhatIsInMemoryOrSwappedOut(t *testing.T) {
	t.Parallel()
	const text = `       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap
         0          0  1600              41943040    12    12      0  1000  1000  1000  1000 1764385200 1764385200 1764385200              41943040                     0
         1      32769  1600              41943040    12    12      1  1000  1000  1000  1000 1764385200          0 1764385200                  8192                  4096
`
	for n, want := range map[int]int64{0: 0, len(text): 41943040 + 8192 + 4096} {
		if got := segmentBytes([]byte(text[:n])); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}
