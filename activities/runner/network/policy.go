package network

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/holdfast/holdfast/schema"
)

// Addresses that no step reaches, besides the host's own. Most are not on the internet; the others
// are where clouds hand out their machines' credentials.
var blockedRanges = prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
	"::/96", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::/32", "2001::/32", "fd68:6f6c:6466::/48",
)

// Ranges that embed an IPv4 address, and its position.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // the same with a network's own prefix, RFC 8215
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // SIIT, RFC 6145
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// unembed is the embedded address, or the address itself.
func unembed(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[c.at : c.at+4]))
		}
	}
	return a
}

// isBlocked says whether no step may reach an address, on any host.
func isBlocked(a netip.Addr) bool {
	a = unembed(a)
	return !a.IsValid() || slices.ContainsFunc(blockedRanges, func(p netip.Prefix) bool { return p.Contains(a) })
}

const (
	maxAddresses    = 4096 // remembered for names
	namesPerAddress = 64
)

// policy says what a step may reach.
type policy struct {
	own   func(a netip.Addr) bool // whether it is an address of this host
	allow []schema.NetworkRule    // nil is everything

	mu      sync.Mutex
	refused []schema.NetworkRule    // the product's own places, all as addresses
	names   map[netip.Addr][]string // names on the allow-list, by address
	order   []netip.Addr            // oldest first
}

// allowed says whether a step may open a connection.
func (p *policy) allowed(a netip.Addr, port uint16) bool {
	bare := unembed(a)
	if port == 0 || isBlocked(bare) || p.own(bare) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if covered(p.refused, bare, port, nil) {
		return false
	}
	return p.allow == nil || covered(p.allow, bare, port, p.names[bare])
}

// refuse sets the current addresses of the product.
func (p *policy) refuse(rules []schema.NetworkRule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = rules
}

func covered(rules []schema.NetworkRule, a netip.Addr, port uint16, names []string) bool {
	return slices.ContainsFunc(rules, func(r schema.NetworkRule) bool {
		return r.CoversPort(port) && (r.CoversAddr(a) || r.Named() && slices.ContainsFunc(names, r.CoversName))
	})
}

// resolvable says whether a step may look up a name.
func (p *policy) resolvable(name string) bool {
	return p.allow == nil || covers(p.allow, name)
}

func covers(rules []schema.NetworkRule, name string) bool {
	return slices.ContainsFunc(rules, func(r schema.NetworkRule) bool { return r.CoversName(name) })
}

// learn records that a name has an address. It ignores names that no rule covers.
func (p *policy) learn(name string, a netip.Addr) {
	if p.allow == nil || !covers(p.allow, name) {
		return
	}
	a = unembed(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil {
		p.names = map[netip.Addr][]string{}
	}
	known, seen := p.names[a]
	if slices.Contains(known, name) {
		return
	}
	if !seen {
		if len(p.order) >= maxAddresses {
			delete(p.names, p.order[0])
			p.order = p.order[1:]
		}
		p.order = append(p.order, a)
	}
	if len(known) >= namesPerAddress {
		known = slices.Clone(known[1:])
	}
	p.names[a] = append(known, name)
}
