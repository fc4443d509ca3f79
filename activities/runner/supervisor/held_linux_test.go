package supervisor

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHeldBy_LooksIntoThreadsThatShareNoDescriptors with the process that they are of.
func TestHeldBy_LooksIntoThreadsThatShareNoDescriptors(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	opened, looked := make(chan error), make(chan struct{})
	defer close(looked)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its descriptors
		err := unix.Unshare(unix.CLONE_FILES)
		if err == nil {
			var fd int
			if fd, err = unix.MemfdCreate("apart", 0); err == nil {
				_, err = unix.Write(fd, make([]byte, size))
			}
		}
		opened <- err
		<-looked
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if h := heldBy([]int{os.Getpid()}); h.memory < size {
		t.Errorf("%d bytes of memory were found", h.memory)
	}
}
