package network

import (
	"bufio"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
)

// ownAddress says whether an address is this host's: an address of an interface, one routed
// locally, a broadcast address of its networks, or its gateway, which for a container is its host.
func ownAddress(a netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return true // unknown
	}
	for _, item := range list {
		n, ok := item.(*net.IPNet)
		if !ok {
			continue
		}
		own, ok := netip.AddrFromSlice(n.IP)
		if own = own.Unmap(); ok && (own == a || own.Is4() && a == lastOf(own, n)) {
			return true
		}
	}
	return isLocalRoute(a) || gateways()[a]
}

// lastOf is the broadcast address of a network.
func lastOf(own netip.Addr, n *net.IPNet) netip.Addr {
	ones, bits := n.Mask.Size()
	if bits == 128 {
		ones -= 96
	}
	if ones < 0 || ones >= 31 {
		return netip.Addr{}
	}
	b := own.As4()
	for i := ones; i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// isLocalRoute asks the kernel, without sending anything: a local address is reached from itself.
func isLocalRoute(a netip.Addr) bool {
	const discard = 9
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, discard)))
	if err != nil {
		return false // no route
	}
	defer conn.Close()
	from, ok := conn.LocalAddr().(*net.UDPAddr)
	return ok && (from.AddrPort().Addr().Unmap() == a || from.IP.IsLoopback())
}

// gateways are the IPv4 gateways; IPv6 ones are link-local.
func gateways() map[netip.Addr]bool {
	file, err := os.Open("/proc/net/route")
	if err != nil {
		return nil
	}
	defer file.Close()
	found := map[netip.Addr]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text()) // interface, destination, gateway: in hexadecimal, last byte first
		if len(f) < 3 {
			continue
		}
		if b, err := hex.DecodeString(f[2]); err == nil && len(b) == 4 {
			if a := netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}); !a.IsUnspecified() {
				found[a] = true
			}
		}
	}
	return found
}
