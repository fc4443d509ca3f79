package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Child is a started program.
type Child struct {
	// Pid is init's on the host, or the program's with [Off]. The caller of Start waits for it.
	Pid     int
	Missing []Status
	Group   *Group // the step's cgroup, nil if there is none
	// Link has the frames of a step with a network; nil if it has no network, or the worker's. The
	// caller of Start closes it.
	Link *os.File

	reports *os.File // init closes its end when it ends
	decoder *json.Decoder

	segments atomic.Int64
	outcome  *Outcome      // set before told is closed
	told     chan struct{} // closed when init sends no more
}

// namespaces are the flags of clone, in the order in which clone drops them.
var namespaces = []struct {
	layer Layer
	flag  uintptr
	file  string // in /proc/self/ns
}{
	{LayerNetwork, unix.CLONE_NEWNET, "net"},
	{LayerUTS, unix.CLONE_NEWUTS, "uts"},
	{LayerIPC, unix.CLONE_NEWIPC, "ipc"},
	{LayerMount, unix.CLONE_NEWNS, "mnt"},
	{LayerPID, unix.CLONE_NEWPID, "pid"},
	{LayerUser, unix.CLONE_NEWUSER, "user"},
}

// insideID is the user and group that a program sees itself as, if its worker runs as root.
const insideID = 1000

// Start starts the program, in as many layers as the host gives, and returns when it runs. The
// calling thread must live as long as the step: when it ends, the kernel kills init and with it the
// step. An error is a [*StartError] if the program could not be started, and a *schema.Error with
// code unsupported if Mode refuses.
func (s *Spec) Start(exe string, stdout, stderr *os.File) (*Child, error) {
	if s.Mode == Off {
		pid, err := s.startPlain(&syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}, stdout, stderr)
		if err != nil {
			return nil, err
		}
		return &Child{Pid: pid}, nil
	}
	return s.startInit(exe, false, stdout, stderr)
}

func (s *Spec) startInit(exe string, probe bool, stdout, stderr *os.File) (*Child, error) {
	group, missing := s.newGroup()
	c, err := s.launch(exe, probe, group, missing, stdout, stderr)
	if err != nil && group != nil {
		_ = group.Kill()
		_ = group.Remove() // a leftover empty group is the only harm
	}
	return c, err
}

func (s *Spec) launch(exe string, probe bool, group *Group, missing []Status, stdout, stderr *os.File) (*Child, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "init"), os.NewFile(uintptr(pair[1]), "supervisor")
	defer theirs.Close()
	patience := unix.NsecToTimeval(startPatience.Nanoseconds())
	_ = unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience) // cannot fail

	program, err := os.Open(exe) // nobody may be unable to reach it by path
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer program.Close()
	var trees []tree
	var opened []*os.File
	demoted := s.isDemoted()
	if demoted {
		if trees, opened, err = s.openTrees(exe); err != nil {
			return nil, errors.Join(err, ours.Close())
		}
		defer closeFiles(opened)
	}
	files := []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), theirs.Fd(), program.Fd()}
	for _, f := range opened {
		files = append(files, f.Fd())
	}
	pid, made, lost, err := s.clone(demoted, group, files)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start init: %w", err), ours.Close())
	}
	_ = theirs.Close()
	missing = append(missing, lost...)
	c := &Child{Pid: pid, Group: group, reports: ours, decoder: json.NewDecoder(ours)}
	// Computed here, while init starts.
	o := order{Spec: s, Made: made, Missing: missing, Root: os.Geteuid() == 0 && (!demoted || !slices.Contains(made, LayerUser)), Trees: trees, Masked: secret(optDir, optDepth, s.ReadOnly), Probe: probe}
	if err := json.NewEncoder(ours).Encode(o); err != nil {
		return nil, c.abandon(fmt.Errorf("tell init what to start: %w", err))
	}
	if s.Network && slices.Contains(made, LayerNetwork) {
		if c.Link, err = takeLink(pair[0]); err != nil {
			return nil, c.abandon(fmt.Errorf("init ended before it had a network: %w", err))
		}
	}
	var r report
	if err := c.decoder.Decode(&r); err != nil {
		return nil, c.abandon(fmt.Errorf("init ended before the program ran: %w", err))
	}
	c.Missing = r.Missing
	switch refused := s.refusal(r.Missing); {
	case r.Fault != "":
		return nil, c.abandon(errors.New(r.Fault))
	case r.StartError != "":
		return nil, c.abandon(&StartError{Name: s.Argv[0], Err: errors.New(r.StartError)})
	case refused != nil:
		return nil, c.abandon(refused)
	case probe:
		return c, nil
	}
	_ = unix.SetsockoptTimeval(int(ours.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{}) // cannot fail
	c.told = make(chan struct{})
	go c.listen()
	return c, nil
}

// listen receives init's reports until it has reported how the program ended.
func (c *Child) listen() {
	defer close(c.told)
	for c.outcome == nil {
		var r report
		if c.decoder.Decode(&r) != nil {
			return
		}
		c.outcome = r.Outcome
		if r.Segments != nil {
			c.segments.Store(*r.Segments)
		}
	}
}

// Segments is how much memory the step's System V segments have, attached or not. It is known if
// the step has its own IPC namespace, and a memory limit that no cgroup enforces.
func (c *Child) Segments() int64 { return c.segments.Load() }

// abandon ends and reaps init after a failure.
func (c *Child) abandon(err error) error {
	end(c.Pid)
	_ = c.reports.Close()
	if c.Link != nil {
		_ = c.Link.Close()
	}
	return err
}

// clone starts init in all available namespaces. If the kernel refuses, it drops them one by one,
// and reports the kernel's errors.
func (s *Spec) clone(demoted bool, group *Group, files []uintptr) (pid int, made []Layer, lost []Status, err error) {
	var flags uintptr
	for _, ns := range namespaces {
		switch {
		case slices.Contains(s.Without, ns.layer):
			lost = append(lost, Status{Layer: ns.layer, Why: errLeftOut.Error()})
		case unix.Access("/proc/self/ns/"+ns.file, unix.F_OK) != nil:
			lost = append(lost, Status{Layer: ns.layer, Why: "this kernel has no such namespaces"})
		default:
			flags |= ns.flag
		}
	}
	try := func(flags uintptr) error {
		pid, err = s.fork(demoted && flags&unix.CLONE_NEWUSER != 0, flags, group, files)
		return err
	}
	first := try(flags)
	if first != nil && !refused(first) {
		return 0, nil, nil, first
	}
	if first != nil && flags&unix.CLONE_NEWUSER != 0 && try(flags&^unix.CLONE_NEWUSER) == nil {
		flags &^= unix.CLONE_NEWUSER // root where user namespaces are off
		lost = append(lost, Status{Layer: LayerUser, Why: why(first)})
	} else if first != nil {
		for _, ns := range namespaces {
			if flags&ns.flag == 0 {
				continue
			}
			flags &^= ns.flag
			lost = append(lost, Status{Layer: ns.layer, Why: why(first)})
			if try(flags) == nil {
				break
			}
		}
	}
	for _, ns := range namespaces {
		if flags&ns.flag != 0 {
			made = append(made, ns.layer)
		}
	}
	return pid, made, lost, err
}

func (s *Spec) fork(demoted bool, flags uintptr, group *Group, files []uintptr) (int, error) {
	sys := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		uid, gid := os.Geteuid(), os.Getegid()
		insideUID, insideGID := uid, gid
		if uid == 0 {
			insideUID, insideGID = insideID, insideID
		}
		if demoted {
			uid, gid = stepID, stepID
			sys.Credential = &syscall.Credential{Uid: insideID, Gid: insideID}
		}
		sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: insideUID, HostID: uid, Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideGID, HostID: gid, Size: 1}}
		sys.GidMappingsEnableSetgroups = os.Geteuid() == 0
		// What init needs to build the world. Inside, it is not user 0, which would keep all
		// capabilities.
		sys.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SETPCAP, unix.CAP_SETGID, unix.CAP_SYS_RESOURCE, unix.CAP_DAC_OVERRIDE}
	}
	if group != nil {
		dir, err := os.Open(group.path)
		if err != nil {
			return 0, err
		}
		defer dir.Close()
		sys.UseCgroupFD, sys.CgroupFD = true, int(dir.Fd())
	}
	return syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", programFD), []string{"holdfast", initArg}, &syscall.ProcAttr{
		// For init alone, which does little and keeps few threads.
		Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Dir: "/", Files: files, Sys: sys,
	})
}

// refused tells a kernel's refusal of namespaces from other errors, such as a missing program.
func refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOMEM)
}

var errLeftOut = errors.New("it was left out")

func why(err error) string {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
		return "the host's bound on such namespaces is reached, or is 0 (/proc/sys/user)"
	}
	if errors.Is(err, unix.EPERM) {
		return "the kernel does not allow it to this user"
	}
	return err.Error()
}

// Outcome says how the program ended, once Pid has. It returns false if init itself was killed, and
// with [Off]: then the program ended the way Pid did.
func (c *Child) Outcome() (Outcome, bool) {
	if c.reports == nil {
		return Outcome{}, false
	}
	defer c.reports.Close()
	select {
	case <-c.told:
	case <-time.After(time.Second):
		return Outcome{}, false
	}
	if c.outcome == nil {
		return Outcome{}, false
	}
	return *c.outcome, true
}

// Close kills what may be left in the step's group and removes it, once its figures are no longer
// needed. It may be called twice.
func (c *Child) Close() error {
	if c.Group == nil {
		return nil
	}
	_ = c.Group.Kill() // missing on an old kernel; then the group is not empty
	if err := c.Group.Remove(); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
