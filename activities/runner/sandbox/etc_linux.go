package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const etcDir = "/etc"

// etcNames lists the parts of /etc that programs need. A step gets a copy: a mount over a file of
// the host's falls off when somebody there replaces the file, and uncovers it.
var etcNames = []string{
	"alternatives", "bash.bashrc", "bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "default/locale", "emacs", "fonts",
	"gai.conf", "gitconfig", "host.conf", "hosts", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf",
	"localtime", "lsb-release", "magic", "magic.mime", "mailcap", "mime.types", "nanorc", "networks", "nsswitch.conf", "openal", "OpenCL", "os-release", "papersize",
	"perl", "pki", "profile", "profile.d", "profiles", "protocols", "R", "redhat-release", "rpc", "services", "shells", "ssl", "static", "system-release", "terminfo",
	"texmf", "timezone", "vim", "vulkan", "wgetrc", "xattr.conf", "zsh",
}

// etcFolders are shown instead of copied: they have hundreds of entries, none of them secret, and
// nothing is mounted inside them that could fall off.
var etcFolders = []string{etcDir + "/alternatives", etcDir + "/ssl/certs"}

// etcPatterns match names that contain a version.
var etcPatterns = []string{"ImageMagick-*", "java-*", "openmpi*", "python*"}

const (
	etcBytes = 24 << 20 // for the whole copy; what does not fit is left out
	etcFiles = 8 << 10
	etcDepth = 8
)

// copyEtc puts the step's own /etc into the new root.
func (sb *sandbox) copyEtc() error {
	c := &copier{to: sb.root + etcDir, bytes: etcBytes, files: etcFiles}
	if err := os.MkdirAll(c.to+"/default", 0o755); err != nil {
		return errno(err)
	}
	names := slices.Clone(etcNames)
	for _, pattern := range etcPatterns {
		found, _ := filepath.Glob(etcDir + "/" + pattern) // the patterns are right
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	for _, name := range names {
		c.take(etcDir+"/"+name, c.to+"/"+name, etcDepth)
	}
	uid, gid := os.Getuid(), os.Getgid()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n" + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" +
			fmt.Sprintf("holdfast:x:%d:%d::%s:/bin/sh\n", uid, gid, sb.Dir),
		"group":       "root:x:0:\nnogroup:x:65534:\n" + fmt.Sprintf("holdfast:x:%d:\n", gid),
		"hostname":    "holdfast\n",
		"resolv.conf": sb.resolver(),
	} {
		if err := os.WriteFile(c.to+"/"+name, []byte(text), 0o644); err != nil {
			return errno(err)
		}
	}
	return nil
}

// resolver is the text of /etc/resolv.conf: the host's, or one with the router's resolver and the
// host's search domains.
func (sb *sandbox) resolver() string {
	own, _ := os.ReadFile(etcDir + "/resolv.conf") // empty if there is none
	if !sb.Network || !sb.has(LayerNetwork) {
		return string(own)
	}
	var text strings.Builder
	text.WriteString("nameserver " + linkResolver + "\n")
	for line := range strings.Lines(string(own)) {
		if f := strings.Fields(line); len(f) > 1 && (f[0] == "search" || f[0] == "domain" || f[0] == "options") {
			text.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	return text.String()
}

// copier copies files that everybody may read.
type copier struct {
	to           string
	bytes, files int
}

// take copies a file, a link or a folder. It leaves out what cannot be copied.
func (c *copier) take(from, to string, depth int) {
	var st unix.Stat_t
	if slices.Contains(etcFolders, from) || unix.Lstat(from, &st) != nil || c.files <= 0 {
		return
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		if target, err := os.Readlink(from); err == nil {
			c.files--
			_ = os.Symlink(target, to)
		}
	case unix.S_IFREG:
		c.file(from, to)
	case unix.S_IFDIR:
		if st.Mode&0o005 == 0o005 && depth > 0 {
			c.folder(from, to, depth)
		}
	}
}

// file copies a file. It checks the permissions of the open file, not of the name.
func (c *copier) file(from, to string) {
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if unix.Fstat(in, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o004 == 0 || st.Size > int64(c.bytes) {
		return
	}
	out, err := unix.Open(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644|st.Mode&0o111)
	if err != nil {
		return
	}
	defer unix.Close(out)
	c.files--
	for left := int(st.Size); left > 0; {
		n, err := unix.Sendfile(out, in, nil, left)
		if err != nil || n <= 0 {
			return
		}
		left -= n
		c.bytes -= n
	}
}

func (c *copier) folder(from, to string, depth int) {
	fd, err := unix.Open(from, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	c.files--
	_ = os.MkdirAll(to, 0o755)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return
		}
		for entries := buf[:n]; len(entries) > 0; { // struct linux_dirent64, see unreadable
			length := binary.NativeEndian.Uint16(entries[16:])
			if name := unix.ByteSliceToString(entries[19:length]); name != "." && name != ".." {
				c.take(from+"/"+name, to+"/"+name, depth-1)
			}
			entries = entries[length:]
		}
	}
}
