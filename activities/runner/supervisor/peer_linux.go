package supervisor

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// FromStep says whether a step's process holds the other end of a unix socket, or whether that is
// unknown. On a host where steps do not have their own user, the kernel lets a step connect to its
// worker's sockets. Whatever a step starts has the step's supervisor among its ancestors, as long
// as that lives.
func FromStep(conn net.Conn) bool {
	pid, uid, err := peer(conn)
	if err != nil || uid != os.Geteuid() && uid != 0 {
		return true
	}
	ours := map[int]bool{} // a server that itself runs in a step belongs to the step, and so do its clients
	for _, up := range ancestors(os.Getpid()) {
		ours[up] = true
	}
	line := ancestors(pid)
	for _, up := range line {
		if up == os.Getpid() && isSupervisor(up) || !ours[up] && isSupervisor(up) {
			return true
		}
	}
	return len(line) == 0
}

// fromTree says whether a process below this one holds the other end.
func fromTree(conn net.Conn) bool {
	pid, _, err := peer(conn)
	if err != nil {
		return false
	}
	for _, up := range ancestors(pid) {
		if up == os.Getpid() {
			return true
		}
	}
	return false
}

// peer is the process and user that connected, as the kernel recorded them.
func peer(conn net.Conn) (pid, uid int, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, 0, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctlErr != nil {
		return 0, 0, ctlErr
	}
	if err != nil {
		return 0, 0, err
	}
	return int(cred.Pid), int(cred.Uid), nil
}

// ancestors lists a process and its ancestors; none if it has ended, or this process cannot see it.
func ancestors(pid int) []int {
	const deepest = 1 << 10
	var line []int
	for pid > 0 && len(line) < deepest {
		_, up, ok := procStat(pid)
		if !ok {
			return nil
		}
		line = append(line, pid)
		pid = up
	}
	return line
}

// isSupervisor recognises a supervisor by its arguments: no process can change its ancestors'
// arguments.
func isSupervisor(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	args := bytes.Split(bytes.TrimSuffix(text, []byte{0}), []byte{0})
	return err == nil && len(args) == 3 && string(args[1]) == ArgSupervise
}
