//go:build !linux

package embedded

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// detach has no parent-death signal to set here: what a killed parent leaves behind is ended at the next start, by
// recorded pid and start time.
func detach(cmd *exec.Cmd, _ syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// unroot does nothing here: Postgres says by itself that it will not run as root.
func unroot(*exec.Cmd) {}

// StartTime returns a number made from ps' start time of a process, which together with the pid names it for good.
func StartTime(pid int) (uint64, error) {
	started, err := ps(pid, "lstart=")
	if err != nil {
		return 0, err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(started))
	return sum.Sum64(), nil
}

// worksIn reports whether pid is a Postgres that was started on dir.
func worksIn(pid int, dir string) bool {
	command, err := ps(pid, "command=")
	return err == nil && strings.Contains(command, dir)
}

func ps(pid int, column string) (string, error) {
	out, err := exec.Command("ps", "-o", column, "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("ps %d: %w", pid, os.ErrNotExist)
	}
	return strings.TrimSpace(string(out)), nil
}

// Listens reports whether the process is the one that listens on a TCP port; it cannot tell here, and answers true.
func Listens(int, int) bool { return true }
