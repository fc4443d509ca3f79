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

// detach has no parent-death signal to set here: the next start ends what a killed parent leaves behind, by recorded
// pid and start time.
func detach(cmd *exec.Cmd, _ syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// unroot does nothing here: Postgres itself refuses to run as root.
func unroot(*exec.Cmd) {}

// StartTime returns a number made from a process' start time in ps, which together with the pid identifies it for good.
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

// Listens reports whether the process listens on a TCP port; it cannot tell here, and answers true.
func Listens(int, int) bool { return true }
