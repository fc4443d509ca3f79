package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The device of a step with a network, and its other end, from which the supervisor's router takes
// frames. Both are in the step's network namespace; making them takes no rights on the host.
const (
	linkName = "eth0"
	linkPeer = "router"
	linkMTU  = 1500
)

// linkHardware is the device's address; the router's frames name it.
var linkHardware = []byte{2, 0, 0, 0, 0, 2}

// The addresses of a step, in ranges that are used nowhere else; see package network.
var (
	linkAddress  = netip.MustParsePrefix("198.18.0.2/24")
	linkAddress6 = netip.MustParsePrefix("fd68:6f6c:6466::2/64")
)

// linkResolver is where the router answers the step's lookups.
const linkResolver = "198.18.0.1"

// makeLink makes the device, and a socket for its frames.
func makeLink() (*os.File, error) {
	nl, err := openNetlink()
	if err != nil {
		return nil, err
	}
	defer unix.Close(nl.fd)
	if err := nl.addPair(); err != nil {
		return nil, fmt.Errorf("make a network device: %w", err)
	}
	// Every address is reached over the device without ARP.
	device, err := nl.up(linkName, unix.IFF_NOARP)
	if err != nil {
		return nil, fmt.Errorf("start the network device: %w", err)
	}
	peer, err := nl.up(linkPeer, unix.IFF_NOARP)
	if err != nil {
		return nil, fmt.Errorf("start the network device: %w", err)
	}
	if err := nl.address(device, linkAddress); err != nil {
		return nil, fmt.Errorf("give the network device an address: %w", err)
	}
	if err := nl.defaultRoute(device, unix.AF_INET); err != nil {
		return nil, fmt.Errorf("give the network device a route: %w", err)
	}
	if nl.address(device, linkAddress6) == nil { // a kernel without IPv6 has no such addresses
		_ = nl.defaultRoute(device, unix.AF_INET6)
	}
	every := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on the network device: %w", err)
	}
	const room = 4 << 20 // the kernel gives as much as it may
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: int(peer)}); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on the network device: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), linkName), nil
}

// netlink speaks rtnetlink(7).
type netlink struct {
	fd  int
	seq uint32
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("speak with the kernel's network: %w", err)
	}
	return &netlink{fd: fd}, nil
}

// do sends one request, and waits for its answer.
func (n *netlink) do(kind, flags uint16, body []byte) error {
	n.seq++
	const head = unix.SizeofNlMsghdr
	m := make([]byte, head, head+len(body))
	binary.NativeEndian.PutUint32(m, uint32(head+len(body)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(m[8:], n.seq)
	if err := unix.Sendto(n.fd, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4<<10)
	size, _, err := unix.Recvfrom(n.fd, answer, 0)
	if err != nil {
		return err
	}
	if size < head+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return unix.EPROTO
	}
	if code := int32(binary.NativeEndian.Uint32(answer[head:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// attr adds an attribute with its padding.
func attr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func attr32(b []byte, kind uint16, n uint32) []byte {
	return attr(b, kind, binary.NativeEndian.AppendUint32(nil, n))
}

// linkMessage is struct ifinfomsg.
func linkMessage(index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

// addPair makes a pair of devices, each of which receives what is sent on the other. Each packet
// holds one segment, as it would on a wire.
func (n *netlink) addPair() error {
	const (
		infoPeer   = 1  // VETH_INFO_PEER
		gsoMaxSegs = 40 // IFLA_GSO_MAX_SEGS
	)
	end := func(b []byte, name string) []byte {
		b = attr(b, unix.IFLA_IFNAME, append([]byte(name), 0))
		b = attr32(b, unix.IFLA_MTU, linkMTU)
		return attr32(b, gsoMaxSegs, 1)
	}
	info := attr(nil, unix.IFLA_INFO_KIND, []byte("veth\x00"))
	info = attr(info, unix.IFLA_INFO_DATA, attr(nil, infoPeer, end(linkMessage(0, 0, 0), linkPeer)))
	b := attr(end(linkMessage(0, 0, 0), linkName), unix.IFLA_ADDRESS, linkHardware)
	return n.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, attr(b, unix.IFLA_LINKINFO, info))
}

// up starts a device, and returns its index.
func (n *netlink) up(name string, flags uint32) (int32, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	index := int32(request.Uint32())
	return index, n.do(unix.RTM_NEWLINK, 0, linkMessage(index, unix.IFF_UP|flags, unix.IFF_UP|flags))
}

// address gives a device an address.
func (n *netlink) address(index int32, p netip.Prefix) error {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	b := []byte{family, byte(p.Bits()), unix.IFA_F_NODAD, 0} // struct ifaddrmsg
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	a := p.Addr().AsSlice()
	b = attr(attr(b, unix.IFA_LOCAL, a), unix.IFA_ADDRESS, a)
	return n.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}

// defaultRoute adds a route to everywhere.
func (n *netlink) defaultRoute(index int32, family byte) error {
	scope := byte(unix.RT_SCOPE_LINK)
	if family == unix.AF_INET6 {
		scope = unix.RT_SCOPE_UNIVERSE
	}
	b := []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, scope, unix.RTN_UNICAST, 0, 0, 0, 0} // struct rtmsg
	return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, attr32(b, unix.RTA_OIF, uint32(index)))
}

// giveLink passes the device's socket, or none, to the supervisor, with one byte between the JSON
// messages.
func giveLink(to int, link *os.File) error {
	var rights []byte
	if link != nil {
		rights = unix.UnixRights(int(link.Fd()))
		defer link.Close()
	}
	return unix.Sendmsg(to, []byte{'\n'}, rights, nil, 0)
}

// takeLink is the receiving side of giveLink.
func takeLink(from int) (*os.File, error) {
	var b [1]byte
	rights := make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(from, b[:], rights, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return nil, err
		}
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		if err != nil || len(messages) == 0 {
			return nil, err
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) == 0 {
			return nil, err
		}
		if err := unix.SetNonblock(fds[0], true); err != nil {
			return nil, errors.Join(err, unix.Close(fds[0]))
		}
		return os.NewFile(uintptr(fds[0]), linkName), nil
	}
}
