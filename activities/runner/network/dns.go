package network

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/holdfast/holdfast/schema"
)

const (
	dnsPort     = 53
	dnsPatience = 5 * time.Second // for one question to one resolver
	dnsIdle     = 10 * time.Second
)

// hostResolvers are those in /etc/resolv.conf.
func hostResolvers() []netip.AddrPort {
	file, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer file.Close()
	var list []netip.AddrPort
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return list
}

// resolveDatagrams answers a step's questions one after the other.
func (r *Router) resolveDatagrams(conn net.Conn) {
	b := make([]byte, maxFrame)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(dnsIdle))
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		if answer := r.resolve("udp", b[:n]); answer != nil {
			_, _ = conn.Write(answer) // the step asks again
		}
	}
}

// resolveStream answers questions over TCP, each preceded by its length.
func (r *Router) resolveStream(conn net.Conn) {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(dnsIdle))
		question, err := readMessage(conn)
		if err != nil {
			return
		}
		answer := r.resolve("tcp", question)
		if answer == nil || writeMessage(conn, answer) != nil {
			return
		}
	}
}

func readMessage(from io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(from, message)
	return message, err
}

func writeMessage(to io.Writer, message []byte) error {
	_, err := to.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

// resolve asks the host's resolvers, and remembers their answers. A name that the step may not
// reach does not exist: the question alone could carry data out. Anything that is not a question
// gets no answer.
func (r *Router) resolve(network string, question []byte) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil || head.Response {
		return nil
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 {
		return reply(head, asked, dnsmessage.RCodeFormatError)
	}
	name := nameOf(asked[0].Name)
	if !r.policy.resolvable(name) {
		return reply(head, asked, dnsmessage.RCodeNameError)
	}
	for _, resolver := range r.resolvers {
		answer, err := exchange(r.ctx, network, resolver, question)
		if err != nil || !r.learn(name, head.ID, answer) {
			continue
		}
		return answer
	}
	return reply(head, asked, dnsmessage.RCodeServerFailure)
}

func nameOf(n dnsmessage.Name) string { return strings.ToLower(strings.TrimSuffix(n.String(), ".")) }

func reply(head dnsmessage.Header, asked []dnsmessage.Question, code dnsmessage.RCode) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true, RCode: code},
		Questions: asked,
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// learn takes the addresses from an answer, and reports whether it is one.
func (r *Router) learn(name string, id uint16, answer []byte) bool {
	var p dnsmessage.Parser
	head, err := p.Start(answer)
	if err != nil || !head.Response || head.ID != id || p.SkipAllQuestions() != nil {
		return false
	}
	for {
		rr, err := p.Answer()
		if err != nil {
			return errors.Is(err, dnsmessage.ErrSectionDone)
		}
		switch body := rr.Body.(type) {
		case *dnsmessage.AResource:
			r.policy.learn(name, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			r.policy.learn(name, netip.AddrFrom16(body.AAAA))
		}
	}
}

// exchange asks one resolver.
func exchange(ctx context.Context, network string, resolver netip.AddrPort, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsPatience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, resolver.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if network == "tcp" {
		if err := writeMessage(conn, question); err != nil {
			return nil, err
		}
		return readMessage(conn)
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	b := make([]byte, maxFrame)
	n, err := conn.Read(b)
	return b[:n], err
}

// allowedByNow looks up the names on the allow-list, which the step may know from its /etc/hosts or
// from before, and says whether one of them is the target.
func (r *Router) allowedByNow(to netip.AddrPort) bool {
	if r.policy.allow == nil || isBlocked(to.Addr()) {
		return false
	}
	for _, rule := range r.policy.allow {
		if rule.Name != "" && !rule.Below && rule.CoversPort(to.Port()) {
			for _, a := range r.lookUp(rule.Name) {
				r.policy.learn(rule.Name, a)
			}
		}
	}
	return r.policy.allowed(to.Addr(), to.Port())
}

// learnSoon looks up the names in the background, one round at a time: a step can send any number
// of datagrams to places that are not allowed.
func (r *Router) learnSoon(to netip.AddrPort) {
	if !take(r.learning) {
		return
	}
	r.all.Go(func() {
		defer func() { <-r.learning }()
		r.allowedByNow(to)
	})
}

func (r *Router) lookUp(name string) []netip.Addr {
	ctx, cancel := context.WithTimeout(r.ctx, dnsPatience)
	defer cancel()
	list, err := r.names.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil
	}
	return list
}

// refuse looks up the addresses of the product's own places. A name that cannot be looked up now
// keeps its previous addresses.
func (r *Router) refuse() {
	var list []schema.NetworkRule
	for _, rule := range r.refused {
		if rule.Name == "" {
			list = append(list, rule)
			continue
		}
		if found := r.lookUp(rule.Name); len(found) > 0 {
			r.known[rule.Name] = found
		}
		for _, a := range r.known[rule.Name] {
			a = unembed(a)
			list = append(list, schema.NetworkRule{Prefix: netip.PrefixFrom(a, a.BitLen()), Port: rule.Port})
		}
	}
	r.policy.refuse(list)
}

func (r *Router) keepRefusing() {
	r.refuse()
	close(r.ready)
	if !slices.ContainsFunc(r.refused, func(rule schema.NetworkRule) bool { return rule.Named() }) {
		return
	}
	tick := time.NewTicker(refuseEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			r.refuse()
		}
	}
}
