package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxNetworkRules bounds the allow-list of a step.
const MaxNetworkRules = 256

// Network says what a step may reach on the network: in JSON false, true, or {"allow": [rule, …]}.
type Network struct {
	On bool
	// Allow lists the only places that it may reach, in the form that [ParseNetworkRule] takes; nil
	// is everything that a step can reach at all.
	Allow []string
}

type networkObject struct {
	Allow []string `json:"allow"`
}

// MarshalJSON implements json.Marshaler.
func (n Network) MarshalJSON() ([]byte, error) {
	if n.On && n.Allow != nil {
		return json.Marshal(networkObject{n.Allow})
	}
	return json.Marshal(n.On)
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Network) UnmarshalJSON(text []byte) error {
	*n = Network{}
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return json.Unmarshal(text, &n.On)
	}
	var o networkObject
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	n.On, n.Allow = true, append([]string{}, o.Allow...)
	return nil
}

// NetworkRule is a place on the network.
type NetworkRule struct {
	Name   string       // host name in lower case; "" when Prefix is given
	Below  bool         // every name below Name, but not Name itself; with Name "", every place
	Prefix netip.Prefix // address range
	Port   uint16       // 0 is every port
}

var hostPattern = lazy(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// NetworkRuleForm describes for people what [ParseNetworkRule] takes.
const NetworkRuleForm = `a name, *.name, an address or a range of them, then a colon and a port or *, such as "example.org:443", "*.example.org:443", "10.1.2.3:5432", "10.0.0.0/8:*" or "[2001:db8::1]:443"`

var errNetworkRule = errors.New("this is not " + NetworkRuleForm)

// ParseNetworkRule reads a rule.
func ParseNetworkRule(s string) (NetworkRule, error) {
	var r NetworkRule
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return r, errNetworkRule
	}
	host, port := s[:i], s[i+1:]
	if port != "*" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return r, errNetworkRule
		}
		r.Port = uint16(n)
	}
	if host == "*" {
		r.Below = true
		return r, nil
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return r, errNetworkRule
		}
	}
	if p, err := netip.ParsePrefix(inner); err == nil && p.Addr().Is6() == bracketed && !p.Addr().Is4In6() {
		r.Prefix = p.Masked()
		return r, nil
	}
	if a, err := netip.ParseAddr(inner); err == nil && a.Is6() == bracketed && a.Zone() == "" && !a.Is4In6() {
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	name, below := strings.CutPrefix(strings.ToLower(host), "*.")
	last := name[strings.LastIndexByte(name, '.')+1:]
	const maxName = 253 // RFC 1035, as text
	if bracketed || len(name) > maxName || !hostPattern().MatchString(name) || strings.Trim(last, "0123456789") == "" {
		return r, errNetworkRule
	}
	r.Name, r.Below = name, below
	return r, nil
}

// Named says whether the rule is about a name; a rule for every place is not.
func (r *NetworkRule) Named() bool { return r.Name != "" }

// CoversName says whether the rule covers a name, given in lower case and without a final dot.
func (r *NetworkRule) CoversName(name string) bool {
	if !r.Below {
		return r.Name != "" && name == r.Name
	}
	return r.Name == "" || strings.HasSuffix(name, "."+r.Name)
}

// CoversAddr says whether the rule covers an address regardless of any name.
func (r *NetworkRule) CoversAddr(a netip.Addr) bool {
	return r.Below && r.Name == "" || r.Prefix.IsValid() && r.Prefix.Contains(a)
}

// CoversPort says whether the rule covers a port.
func (r *NetworkRule) CoversPort(port uint16) bool { return r.Port == 0 || r.Port == port }

// network reads what a step may reach on the network.
func (p *planParser) network(n *node, at string) *Network {
	if n.kind != kindObject {
		return &Network{On: p.is(n, at, kindBool, `or an object with "allow"`) && n.truth}
	}
	net := &Network{On: true, Allow: []string{}}
	p.object(n, at, fields{
		"allow": func(n *node, at string) {
			net.Allow = append(net.Allow, p.strings(n, at)...)
			if len(net.Allow) > MaxNetworkRules {
				p.add(n.offset, at, fmt.Sprintf("these are %d places; at most %d are allowed", len(net.Allow), MaxNetworkRules), nil)
				return
			}
			for i, text := range net.Allow {
				if _, err := ParseNetworkRule(text); err != nil {
					p.add(n.items[i].offset, fmt.Sprintf("%s[%d]", at, i), strconv.Quote(text)+" is not "+NetworkRuleForm, text)
				}
			}
		},
	}, "allow")
	return net
}
