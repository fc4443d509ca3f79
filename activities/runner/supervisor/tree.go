//go:build unix

package supervisor

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// killTree kills everything below this process until nothing is left.
func killTree() (killed, survivors int) { return killAll(tree) }

// KillMarked kills every process with all of these NAME=value in its environment, and counts them.
// It finds processes that have lost their supervisor, and with it their place in a tree.
func KillMarked(marks []string) (killed, survivors int) {
	return killAll(func() []int { return marked(marks) })
}

// killAll kills what list finds until it finds nothing. It stops all processes first, so that none
// can fork away, then kills them.
func killAll(list func() []int) (killed, survivors int) {
	deadline := time.Now().Add(killPatience)
	for {
		pids := list()
		if len(pids) == 0 || time.Now().After(deadline) {
			return killed, len(pids)
		}
		killed = max(killed, len(pids))
		signalAll(pids, syscall.SIGSTOP)
		for range 2 { // a listed process may have forked before the signal reached it
			signalAll(list(), syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// freezeTree stops everything below this process. It repeats, because a listed process may have
// forked before the signal reached it, but not after. It looks once more after finding nothing new,
// because a process that had forked may have ended during a look.
func freezeTree() {
	const most = 50
	stopped := map[int]bool{}
	for n, quiet := 0, 0; n < most && quiet < 2; n++ {
		pids := tree()
		signalAll(pids, syscall.SIGSTOP)
		quiet++
		for _, pid := range pids {
			if !stopped[pid] {
				stopped[pid], quiet = true, 0
			}
		}
	}
}

// below lists the processes with this one as an ancestor, parents before their children (except
// where process ids have wrapped around): a shell that is told to end before the program that it
// waits for prints nothing about that program's end.
func below(parents map[int]int) []int {
	self := os.Getpid()
	var found []int
	for pid := range parents {
		for up, ok := parents[pid], true; ok; up, ok = parents[up] {
			if up == self {
				found = append(found, pid)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

func signalTree(sig syscall.Signal) {
	// Twice, because a listed process may have forked before the signal reached it.
	for range 2 {
		signalAll(tree(), sig)
	}
}

func signalAll(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // ESRCH: the process has already ended
	}
}
