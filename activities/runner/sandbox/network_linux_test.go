package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/activities/runner/network"
	"github.com/holdfast/holdfast/schema"
)

// The network tests run in their own host: a network namespace connected to another one, the
// outside. These say which one a process is.
const (
	onHost  = "HOLDFAST_TEST_SANDBOX_HOST"
	outside = "HOLDFAST_TEST_SANDBOX_OUTSIDE"
)

// The host has two addresses, and the clouds' metadata address; the outside has names for all.
var (
	hostAddress    = netip.MustParsePrefix("10.77.0.1/24")
	outsideAddress = netip.MustParsePrefix("10.77.0.2/24")
	metadata       = netip.MustParsePrefix("169.254.169.254/32")
	otherOutside   = netip.MustParsePrefix("10.78.0.2/24")
	names          = map[string]netip.Addr{
		"outside.example.": outsideAddress.Addr(), "deep.outside.example.": otherOutside.Addr(), "host.example.": hostAddress.Addr(),
		"loopback.example.": netip.MustParseAddr("127.0.0.1"), "metadata.example.": metadata.Addr(), "product.example.": otherOutside.Addr(),
	}
)

const (
	webPort = 8080
	dnsPort = 5353
)

func init() { //nolint:gochecknoinits // TestMain is for every system
	beElsewhere = func() bool {
		if os.Getenv(without) != "" && os.Geteuid() == 0 { // once: then as nobody, who gets no namespaces
			if err := becomeBare(); err != nil {
				fmt.Fprintln(os.Stderr, "without namespaces:", err)
			}
			return true
		}
		if os.Getenv(outside) == "" {
			return false
		}
		if err := beOutside(); err != nil {
			fmt.Fprintln(os.Stderr, "outside:", err)
		}
		return true
	}
}

// becomeBare runs the test of a host without namespaces, as nobody.
func becomeBare() error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-bare-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	exe := dir + "/sandbox.test"
	if err := errors.Join(os.WriteFile(exe, program, 0o755), os.Chmod(dir, 0o755), os.Mkdir(dir+"/tmp", 0o700), os.Chown(dir+"/tmp", stepID, stepID)); err != nil {
		return err
	}
	cmd := exec.Command(exe, "-test.v", "-test.run=^TestAttack_HostWithoutNamespaces$")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir+"/tmp", os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+dir+"/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stepID, Gid: stepID}}
	return cmd.Run()
}

// inHost runs a test of this package again, on its own host.
func inHost(t *testing.T, test string) {
	t.Helper()
	again(t, test, unix.CLONE_NEWNET)
}

// inMounts runs a test of this package again, with its own mounts.
func inMounts(t *testing.T, test string) {
	t.Helper()
	again(t, test, unix.CLONE_NEWNS)
}

func again(t *testing.T, test string, namespaces uintptr) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+test+"$", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), onHost+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if namespaces&unix.CLONE_NEWNS != 0 {
		cmd.SysProcAttr.Cloneflags, cmd.SysProcAttr.Unshareflags = namespaces&^unix.CLONE_NEWNS, unix.CLONE_NEWNS // which keeps its mounts to itself
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// beOutside is the outside: it says "hello" to every connection, and knows names.
func beOutside() error {
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil { // the device is there
		return err
	}
	nl, err := openNetlink()
	if err != nil {
		return err
	}
	index, err := nl.up("in0", 0)
	if err := errors.Join(err, loopbackUp(), nl.address(index, outsideAddress), nl.address(index, otherOutside), nl.defaultRoute(index, unix.AF_INET)); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{outsideAddress, otherOutside} { // each answers a datagram from its own address
		stop, err := serveHello(fmt.Sprintf("%s:%d", p.Addr(), webPort), "hello")
		if err != nil {
			return err
		}
		defer stop()
	}
	conn, err := net.ListenPacket("udp4", ":"+strconv.Itoa(dnsPort))
	if err != nil {
		return err
	}
	go answerNames(conn)
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in) // until the host ends
	return err
}

// serveHello answers with a word by TCP and UDP, until it is told to stop.
func serveHello(address, word string) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(word)) // the step says what it got
			_ = conn.Close()
		}
	}()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(word), from) // the same
		}
	}()
	return func() { _ = l.Close(); _ = packets.Close() }, nil
}

func answerNames(conn net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		q := m.Questions[0]
		a, known := names[q.Name.String()]
		switch {
		case !known:
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: a.As4()}}}
		}
		if answer, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(answer, from) // it will be asked again
		}
	}
}

// joinOutside makes this namespace a host that is connected to an outside.
func joinOutside(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = []string{outside + "=1"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	nl, err := openNetlink()
	if err != nil {
		t.Fatal(err)
	}
	peer := attr32(attr(linkMessage(0, 0, 0), unix.IFLA_IFNAME, []byte("in0\x00")), unix.IFLA_NET_NS_PID, uint32(cmd.Process.Pid))
	info := attr(attr(nil, unix.IFLA_INFO_KIND, []byte("veth\x00")), unix.IFLA_INFO_DATA, attr(nil, 1, peer))
	pair := attr(attr(linkMessage(0, 0, 0), unix.IFLA_IFNAME, []byte("out0\x00")), unix.IFLA_LINKINFO, info)
	if err := nl.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, pair); err != nil {
		t.Fatal(err)
	}
	index, err := nl.up("out0", 0)
	if err != nil {
		t.Fatal(err)
	}
	lo, err := nl.up("lo", 0)
	if err := errors.Join(err, nl.address(index, hostAddress), nl.address(lo, metadata), nl.defaultRoute(index, unix.AF_INET)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the outside says %q, %v", line, err)
	}
}

// goesTo reports what a step got from each place, over TCP and UDP.
const goesTo = `
import socket, sys
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=kind)[0]
            s = socket.socket(family, kind); s.settimeout(20); s.connect(address)
            if kind == socket.SOCK_DGRAM: s.send(b"x")
            got = s.recv(100).decode() or "nothing"
        except OSError as e:
            got = "refused"
            if isinstance(e, socket.timeout): got = "timeout"
        print(place, got, flush=True)
`

func visit(t *testing.T, allow, refused []string, places ...string) map[string]string {
	t.Helper()
	s := newSpec(t, append([]string{python, "-c", goesTo}, places...)...)
	s.Network = true
	var router *network.Router
	res, err := runWith(t, s, func(link *os.File) {
		var err error
		resolver := netip.AddrPortFrom(outsideAddress.Addr(), dnsPort)
		if router, err = network.New(network.Options{Allow: allow, Refused: refused, Resolvers: []netip.AddrPort{resolver}}); err != nil {
			t.Error(err)
			return
		}
		router.Serve(link)
	})
	if router != nil {
		router.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(res.out) {
		if f := strings.Fields(line); len(f) == 2 {
			got[f[0]] = strings.TrimPrefix(got[f[0]]+" "+f[1], " ")
		}
	}
	if len(got) != len(places) {
		t.Errorf("got %q", res.out)
	}
	return got
}

// TestAttack_NetworkReachesTheHost: a step with a network reaches the outside, but nothing on the
// host, by any address or name.
func TestAttack_NetworkReachesTheHost(t *testing.T) {
	if os.Getenv(onHost) == "" {
		needLayers(t, LayerNetwork)
		inHost(t, t.Name())
		return
	}
	joinOutside(t)
	stop, err := serveHello(fmt.Sprintf(":%d", webPort), "product")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	const open, shut = "hello hello", "refused refused"
	want := map[string]string{
		"10.77.0.2": open, "outside.example": open, "10.78.0.2": open,
		"10.77.0.1": shut, "host.example": shut, "loopback.example": shut, "metadata.example": shut, "169.254.169.254": shut, "[fe80::1]": shut,
		"198.18.0.1": shut, "198.18.0.9": shut, "[::ffff:10.77.0.1]": shut, "[64:ff9b::a4d:1]": shut, "[2002:a4d:1::]": shut, "10.77.0.255": shut,
		"255.255.255.255": shut, "[fd00:ec2::254]": shut, "100.100.100.200": shut, "[fd68:6f6c:6466::1]": shut,
		"127.0.0.1": shut, "[::1]": shut, "0.0.0.0": shut, "[::ffff:127.0.0.1]": shut, "[::]": shut, // its own loopback
	}
	var places []string
	for host := range want {
		places = append(places, fmt.Sprintf("%s:%d", host, webPort))
	}
	got := visit(t, nil, nil, places...)
	for host, w := range want {
		if g := got[fmt.Sprintf("%s:%d", host, webPort)]; g != w {
			t.Errorf("%s: got %q, want %q", host, g, w)
		}
	}
}

// TestAttack_NetworkBeyondItsList: an allow-list holds by name, address and port, and none reaches
// the product's own places.
func TestAttack_NetworkBeyondItsList(t *testing.T) {
	if os.Getenv(onHost) == "" {
		needLayers(t, LayerNetwork)
		inHost(t, t.Name())
		return
	}
	joinOutside(t)
	const open, shut = "hello hello", "refused refused"
	for _, c := range []struct {
		allow, refused []string
		want           map[string]string
	}{
		{[]string{}, nil, map[string]string{"10.77.0.2": shut, "outside.example": shut}},
		{[]string{"outside.example:8080"}, nil, map[string]string{"10.77.0.2": open, "outside.example": open, "deep.outside.example": shut, "10.78.0.2": shut, "host.example": shut}},
		{[]string{"*.outside.example:*"}, nil, map[string]string{"outside.example": shut, "10.77.0.2": shut, "deep.outside.example": open}},
		{[]string{"outside.example:443", "10.0.0.0/8:443"}, nil, map[string]string{"outside.example": shut, "10.77.0.2": shut}},
		{[]string{"10.77.0.0/16:8080"}, nil, map[string]string{"10.77.0.2": open, "10.77.0.1": shut, "10.78.0.2": shut}},
		{[]string{"*:*"}, []string{"10.78.0.0/16:8080"}, map[string]string{"outside.example": open, "product.example": shut, "10.78.0.2": shut, "127.0.0.1": shut, "host.example": shut}},
		{nil, []string{"10.77.0.2:*"}, map[string]string{"outside.example": shut, "10.78.0.2": open}},
	} {
		var places []string
		for host := range c.want {
			places = append(places, fmt.Sprintf("%s:%d", host, webPort))
		}
		if c.want["outside.example"] == open && c.want["10.77.0.2"] == open { // a name first, which makes its address known
			places = []string{"outside.example:8080", "10.77.0.2:8080", "deep.outside.example:8080", "10.78.0.2:8080", "host.example:8080"}
		}
		got := visit(t, c.allow, c.refused, places...)
		for host, w := range c.want {
			if g := got[fmt.Sprintf("%s:%d", host, webPort)]; g != w {
				t.Errorf("%q without %q: %s: got %q, want %q", c.allow, c.refused, host, g, w)
			}
		}
	}
}

// TestAttack_NetworkOfTheWorker: where a step cannot have its own network it has none, unless the
// operator gave isolation up.
func TestAttack_NetworkOfTheWorker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	program := fmt.Sprintf("import socket; socket.create_connection(('127.0.0.1', %d)); print('reached')", l.Addr().(*net.TCPAddr).Port)
	for mode, reached := range map[Mode]bool{Isolated: false, Required: false, Weakened: true} {
		s := newSpec(t, python, "-c", program)
		s.Mode, s.Network, s.Without = mode, true, []Layer{LayerNetwork}
		res, err := run(t, s)
		if reached != (err == nil && strings.Contains(res.out, "reached")) || !reached && !strings.Contains(fmt.Sprint(err), "network (") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// TestStart_AListTakesANetworkOfTheStepsOwn: without its own network, a step with a list does not
// run, whatever the operator gave up, rather than run first and be ended.
func TestStart_AListTakesANetworkOfTheStepsOwn(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Weakened, Isolated, Required} {
		s := newSpec(t, "touch", "ran")
		s.Mode, s.Network, s.Listed, s.Without = mode, true, true, []Layer{LayerNetwork}
		if _, err := run(t, s); schema.CodeOf(err) != schema.CodeUnsupported {
			t.Errorf("%s: %v", mode, err)
		}
		if _, err := os.Stat(filepath.Join(s.Dir, "ran")); err == nil {
			t.Errorf("%s: the program ran", mode)
		}
	}
}
