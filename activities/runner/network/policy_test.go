package network

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// TestAllowed_IsNeverTheHost: however an address is wrapped, and whatever a list says.
func TestAllowed_IsNeverTheHost(t *testing.T) {
	t.Parallel()
	every, err := rules([]string{"*:*"})
	if err != nil {
		t.Fatal(err)
	}
	own := netip.MustParseAddr("192.0.2.7")
	for _, allow := range [][]schema.NetworkRule{nil, every} {
		p := &policy{own: func(a netip.Addr) bool { return a == own }, allow: allow}
		for _, s := range []string{
			"127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:0:127.0.0.1",
			"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "224.0.0.1", "255.255.255.255",
			"240.0.0.1", "198.18.0.1", "198.19.255.255", "192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::c000:207", "2002:c000:207::1", "fd00:ec2::254", "2001::1",
			"100.100.100.200", "168.63.129.16", "192.0.0.192",
		} {
			if p.allowed(netip.MustParseAddr(s), 80) {
				t.Errorf("%s is allowed", s)
			}
		}
		for _, s := range []string{"192.0.2.8", "10.1.2.3", "100.64.0.1", "2606:4700::1", "fd12:3456::1", "64:ff9b::808:808"} {
			if !p.allowed(netip.MustParseAddr(s), 80) {
				t.Errorf("%s is refused", s)
			}
		}
		if p.allowed(netip.MustParseAddr("192.0.2.8"), 0) || p.allowed(netip.Addr{}, 80) {
			t.Error("no port, or no address, is allowed")
		}
	}
}

// TestLearn_IsBounded: made-up answers of a name server take bounded memory, and no name that the
// step looks up displaces the product's places.
func TestLearn_IsBounded(t *testing.T) {
	t.Parallel()
	allow, err := rules([]string{"*.example.org:443"})
	if err != nil {
		t.Fatal(err)
	}
	product, err := rules([]string{"10.255.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	p := &policy{own: func(netip.Addr) bool { return false }, allow: allow}
	p.refuse(product)
	for i := range 3 * maxAddresses {
		p.learn(fmt.Sprintf("n%d.example.org", i), netip.AddrFrom4([4]byte{10, 255, byte(i >> 8), byte(i)}))
		p.learn(fmt.Sprintf("n%d.example.org", i), netip.MustParseAddr("10.1.1.1"))
		p.learn(fmt.Sprintf("n%d.example.com", i), netip.MustParseAddr("10.2.2.2"))
	}
	if len(p.names) > maxAddresses || len(p.order) > maxAddresses || len(p.names[netip.MustParseAddr("10.1.1.1")]) > namesPerAddress {
		t.Errorf("%d addresses are remembered, %d in order", len(p.names), len(p.order))
	}
	for addr, want := range map[string]bool{"10.255.0.1": false, "10.2.2.2": false, "10.1.1.1": true} {
		if p.allowed(netip.MustParseAddr(addr), 443) != want {
			t.Errorf("%s: want %t", addr, want)
		}
	}
}
