package supervisor

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// heldScanner measures what processes hold. A file counts once, however many processes have it.
type heldScanner struct {
	disks       map[uint64]bool // the devices that the step may write to
	memory      map[uint64]bool // the devices of files in memory
	shm         uint64          // the device of the step's own /dev/shm, which is counted as a whole
	seen        map[inode]bool
	mappedFiles map[inode]*mappedFile
	held        held
}

// mappedFile is a file that is mapped but not open. Only root can see its size.
type mappedFile struct {
	end      int64 // of the mapped part
	resident int64
	onDisk   bool
}

// heldBy measures what processes hold; folders are where their files are.
func heldBy(pids []int, folders ...string) held {
	h := heldScanner{disks: map[uint64]bool{}, memory: map[uint64]bool{}, seen: map[inode]bool{}, mappedFiles: map[inode]*mappedFile{}}
	for _, dir := range folders {
		var st unix.Stat_t
		if dir != "" && unix.Stat(dir, &st) == nil {
			h.disks[st.Dev] = true
		}
	}
	for _, device := range []uint64{memoryDevice(), shmDevice("/dev/shm")} {
		if device != 0 && !h.disks[device] {
			h.memory[device] = true
		}
	}
	for _, pid := range pids {
		if h.ownShm(pid) {
			break
		}
	}
	for _, pid := range pids {
		h.scanOpen(pid)
		h.scanMapped(pid)
	}
	for id, l := range h.mappedFiles {
		switch {
		case h.seen[id]:
		case l.onDisk:
			h.held.nameless.bytes += l.end
			h.held.nameless.files++
		default:
			h.remember(id, min(l.end, l.resident))
		}
	}
	return h.held
}

// memoryDevice is the device of files that the kernel keeps in memory without a mount.
func memoryDevice() uint64 {
	fd, err := unix.MemfdCreate("holdfast", unix.MFD_CLOEXEC)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Dev
}

// shmDevice is the device of a folder in memory, else 0.
func shmDevice(dir string) uint64 {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.TMPFS_MAGIC || unix.Stat(dir, &st) != nil {
		return 0
	}
	return st.Dev
}

// ownShm counts the /dev/shm of a process that has its own.
func (h *heldScanner) ownShm(pid int) bool {
	proc := procDir(pid)
	theirs, err := os.Readlink(proc + "/ns/mnt")
	own, ownErr := os.Readlink("/proc/self/ns/mnt")
	if err != nil || ownErr != nil || theirs == own {
		return false
	}
	dir := proc + "/root/dev/shm"
	var fs unix.Statfs_t
	if h.shm = shmDevice(dir); h.shm == 0 || unix.Statfs(dir, &fs) != nil {
		return false
	}
	h.held.memory += int64(fs.Blocks-fs.Bfree) * fs.Bsize
	return true
}

// scanOpen looks at a process's open files. Its threads may have their own descriptors.
func (h *heldScanner) scanOpen(pid int) {
	h.descriptors(pid)
	for _, tid := range numbers(procDir(pid) + "/task") {
		const kcmpFiles = 2 // linux/kcmp.h
		if tid == pid {
			continue
		}
		if differ, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(tid), kcmpFiles, 0, 0, 0); errno != 0 || differ != 0 {
			h.descriptors(tid)
		}
	}
}

func (h *heldScanner) descriptors(pid int) {
	dir := procDir(pid) + "/fd"
	if f, err := os.Open(dir); errors.Is(err, unix.EACCES) {
		h.scanUndumpable(pid)
		return
	} else if err == nil {
		_ = f.Close()
	}
	for _, n := range numbers(dir) {
		path := dir + "/" + strconv.Itoa(n)
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			h.add(idOf(&st), &st, path)
		}
	}
}

// scanUndumpable looks at a process that has closed its /proc to its own user, which any process can do. It
// copies the descriptors to see what they refer to.
func (h *heldScanner) scanUndumpable(pid int) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		process, err = unix.PidfdOpen(pid, unix.O_EXCL) // PIDFD_THREAD of Linux 6.9
	}
	if err != nil {
		return // the process has ended
	}
	defer unix.Close(process)
	for _, n := range numbers(procDir(pid) + "/fdinfo") {
		fd, err := unix.PidfdGetfd(process, n, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			h.add(idOf(&st), &st, "/proc/self/fd/"+strconv.Itoa(fd))
		}
		_ = unix.Close(fd)
	}
}

// add counts a file, unless it was counted already or is counted by its name.
func (h *heldScanner) add(id inode, st *unix.Stat_t, path string) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG || h.seen[id] || st.Dev == h.shm {
		return
	}
	size := st.Blocks * blockBytes
	if h.memory[st.Dev] {
		h.seen[id] = true
		h.remember(id, size)
		return
	}
	if st.Nlink > 0 {
		return
	}
	h.seen[id] = true
	var fs unix.Statfs_t
	switch err := unix.Statfs(path, &fs); {
	case err != nil || fs.Flags&unix.ST_RDONLY != 0: // a file of the host, removed there
	case fs.Type == unix.HUGETLBFS_MAGIC, fs.Type == unix.TMPFS_MAGIC && !h.disks[st.Dev]:
		h.remember(id, size)
	default:
		h.held.nameless.bytes += size
		h.held.nameless.files++
	}
}

func (h *heldScanner) remember(id inode, bytes int64) {
	h.held.memory += bytes
	if id.ino&segment != 0 {
		h.held.segments += bytes
	}
}

// scanMapped looks at a process's mapped files: a mapping needs no descriptor.
func (h *heldScanner) scanMapped(pid int) {
	maps, err := os.ReadFile(procDir(pid) + "/maps")
	if err != nil {
		return
	}
	h.held.resident += shmemOf(pid)
	unsized := false
	for line := range strings.Lines(string(maps)) {
		m, ok := parseMapping(line)
		if !ok || h.seen[m.id] || m.id.dev == h.shm {
			continue
		}
		memory := h.memory[m.id.dev]
		if deleted := strings.HasSuffix(m.path, " (deleted)"); !memory && (!deleted || !h.disks[m.id.dev]) {
			continue
		}
		path := procDir(pid) + "/map_files/" + strconv.FormatUint(m.start, 16) + "-" + strconv.FormatUint(m.end, 16)
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			h.add(m.id, &st, path)
			continue
		}
		l := h.mappedFiles[m.id]
		if l == nil {
			l = &mappedFile{onDisk: !memory}
			h.mappedFiles[m.id] = l
		}
		l.end = max(l.end, int64(m.offset+m.end-m.start))
		unsized = unsized || memory
	}
	if unsized {
		h.resident(pid)
	}
}

// resident adds up how much of the mapped files is resident in a process.
func (h *heldScanner) resident(pid int) {
	smaps, err := os.ReadFile(procDir(pid) + "/smaps")
	if err != nil {
		return
	}
	var at *mappedFile
	for line := range strings.Lines(string(smaps)) {
		if m, ok := parseMapping(line); ok {
			at = h.mappedFiles[m.id]
		} else if kib, ok := strings.CutPrefix(line, "Rss:"); ok && at != nil {
			at.resident += kibibytes(kib)
		}
	}
}

// segment marks the numbers of System V segments, which are separate from those of files.
const segment = 1 << 63

// mapping is a line of /proc/PID/maps, see proc(5).
type mapping struct {
	start, end, offset uint64
	id                 inode
	path               string
}

// parseMapping reads a line; ok is false for other lines, and for memory without a file.
func parseMapping(line string) (m mapping, ok bool) {
	at, rest, _ := strings.Cut(line, " ")
	start, end, ok := strings.Cut(at, "-")
	f := strings.Fields(rest)
	if !ok || len(f) < 5 { // rights, offset, device, inode, path
		return m, false
	}
	major, minor, ok := strings.Cut(f[2], ":")
	if !ok {
		return m, false
	}
	var failed error
	number := func(text string, base int) uint64 {
		n, err := strconv.ParseUint(text, base, 64)
		failed = errors.Join(failed, err)
		return n
	}
	m.start, m.end, m.offset = number(start, 16), number(end, 16), number(f[1], 16)
	m.id.dev = unix.Mkdev(uint32(number(major, 16)), uint32(number(minor, 16)))
	m.id.ino = number(f[3], 10)
	m.path = strings.Join(f[4:], " ")
	if strings.HasPrefix(m.path, "/SYSV") {
		m.id.ino |= segment
	}
	return m, failed == nil && m.id.ino != 0
}

// shmemOf is how much memory in files counts as resident in a process.
func shmemOf(pid int) int64 {
	status, _ := os.ReadFile(procDir(pid) + "/status") // none once the process has ended
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "RssShmem:"); ok {
			return kibibytes(kib)
		}
	}
	return 0
}

// kibibytes reads a figure such as " 12 kB".
func kibibytes(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64) // the kernel writes numbers
	return n << 10
}

func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// numbers lists the entries of a folder of /proc that are numbers.
func numbers(dir string) []int {
	f, err := os.Open(dir)
	if err != nil {
		return nil // the process has ended
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	list := make([]int, 0, len(names))
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			list = append(list, n)
		}
	}
	return list
}
