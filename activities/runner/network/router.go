package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/holdfast/holdfast/schema"
)

// MTU is the device's MTU.
const MTU = 1500

// gateway is the router's own address, which has only the resolver. The step's own address is next
// to it. They are in ranges that are not on the internet (RFC 2544) or random (RFC 4193).
var (
	gateway  = netip.MustParseAddr("198.18.0.1")
	gateway6 = netip.MustParseAddr("fd68:6f6c:6466::1")
)

const (
	maxFlows     = 512 // concurrent connections, and as many for UDP
	maxWaiting   = 256 << 10
	dialPatience = 30 * time.Second
	udpIdle      = 2 * time.Minute
	// How often the product's own names are looked up again.
	refuseEvery = time.Minute
	nic         = 1
)

// Options say what a step may reach.
type Options struct {
	// Allow are the rules of an allow-list; nil is no list. Refused are those of the product's own
	// places.
	Allow, Refused []string
	// Resolvers answer the step's lookups; nil for those in /etc/resolv.conf.
	Resolvers []netip.AddrPort
}

// Router is the network of one step.
type Router struct {
	policy    *policy
	refused   []schema.NetworkRule
	known     map[string][]netip.Addr // addresses of the names in refused; only keepRefusing uses it once it runs
	resolvers []netip.AddrPort
	stack     *stack.Stack
	link      *channel.Endpoint // the stack's end of the device
	device    *os.File          // frames of the step's network namespace; nil until Serve
	ctx       context.Context   //nolint:containedctx // for all connections; it ends with Close
	cancel    context.CancelFunc
	ready     chan struct{} // closed when the product's addresses are known
	tcp, udp  chan struct{} // a token for each connection
	learning  chan struct{} // one token for learnSoon
	names     *net.Resolver // for the router's own lookups
	all       sync.WaitGroup
}

// New makes a step's network, which carries nothing until [Router.Serve].
func New(o Options) (*Router, error) {
	r := &Router{
		policy: &policy{own: ownAddress}, known: map[string][]netip.Addr{}, resolvers: o.Resolvers,
		ready: make(chan struct{}), tcp: make(chan struct{}, maxFlows), udp: make(chan struct{}, maxFlows),
		learning: make(chan struct{}, 1), names: net.DefaultResolver,
	}
	var err error
	if r.policy.allow, err = rules(o.Allow); err != nil {
		return nil, err
	}
	if r.refused, err = rules(o.Refused); err != nil {
		return nil, err
	}
	if r.resolvers == nil {
		r.resolvers = hostResolvers()
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.build(); err != nil {
		r.cancel()
		return nil, err
	}
	return r, nil
}

func rules(texts []string) ([]schema.NetworkRule, error) {
	if texts == nil {
		return nil, nil
	}
	list := make([]schema.NetworkRule, 0, len(texts))
	for _, text := range texts {
		rule, err := schema.ParseNetworkRule(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		list = append(list, rule)
	}
	return list, nil
}

func (r *Router) build() error {
	r.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	received := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: maxWaiting, Max: maxWaiting}
	sent := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: maxWaiting, Max: maxWaiting}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &received, &sent} {
		if err := r.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return errors.New(err.String())
		}
	}
	r.link = newLink()
	if err := r.stack.CreateNIC(nic, r.link); err != nil {
		return errors.New(err.String())
	}
	// The router answers for every address, and sends from each.
	if err := r.stack.SetPromiscuousMode(nic, true); err != nil {
		return errors.New(err.String())
	}
	if err := r.stack.SetSpoofing(nic, true); err != nil {
		return errors.New(err.String())
	}
	r.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	r.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(r.stack, 0, maxFlows, r.serveTCP).HandlePacket)
	r.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(r.stack, r.serveUDP).HandlePacket)
	return nil
}

// Serve carries the device's frames until Close, which also closes the device. Call it once.
func (r *Router) Serve(device *os.File) {
	r.device = device
	r.all.Go(func() { receive(device, r.link) })
	r.all.Go(func() { send(r.ctx, r.link, device) })
	r.all.Go(r.keepRefusing)
}

// Close ends the network and every connection.
func (r *Router) Close() {
	r.cancel()
	_ = r.device.Close() // without one there is nothing to close
	r.stack.Close()
	r.all.Wait()
	r.stack.Wait()
}

// target is the destination of a step's packet.
func target(id stack.TransportEndpointID) netip.AddrPort {
	a, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(a.Unmap(), id.LocalPort)
}

func isResolver(to netip.AddrPort) bool {
	return to.Port() == dnsPort && (to.Addr() == gateway || to.Addr() == gateway6)
}

func take(tokens chan struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
		return false
	}
}

// serveTCP carries a step's connection. It refuses what is not allowed, like a host that does not
// listen.
func (r *Router) serveTCP(request *tcp.ForwarderRequest) {
	to := target(request.ID())
	if !take(r.tcp) {
		request.Complete(true)
		return
	}
	defer func() { <-r.tcp }()
	var out net.Conn
	if !isResolver(to) {
		var err error
		if out, err = r.dial("tcp", to); err != nil {
			request.Complete(true)
			return
		}
		defer out.Close()
	}
	var queue waiter.Queue
	end, tcpErr := request.CreateEndpoint(&queue)
	if tcpErr != nil {
		request.Complete(true)
		return
	}
	request.Complete(false)
	in := gonet.NewTCPConn(&queue, end)
	defer in.Close()
	stop := context.AfterFunc(r.ctx, func() { _ = in.Close() })
	defer stop()
	if out == nil {
		r.resolveStream(in)
		return
	}
	splice(in, out)
}

var errNotAllowed = errors.New("destination not allowed for this step")

// dial opens the host's end of a connection, if the step may have it.
func (r *Router) dial(network string, to netip.AddrPort) (net.Conn, error) {
	<-r.ready
	if !r.policy.allowed(to.Addr(), to.Port()) && !r.allowedByNow(to) {
		return nil, errNotAllowed
	}
	d := net.Dialer{Timeout: dialPatience}
	conn, err := d.DialContext(r.ctx, network, netip.AddrPortFrom(unembed(to.Addr()), to.Port()).String())
	if err != nil {
		return nil, err
	}
	// The host's addresses may have changed since the check.
	if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err != nil || local.Addr().Unmap() == unembed(to.Addr()) {
		_ = conn.Close()
		return nil, errNotAllowed
	}
	return conn, nil
}

// splice copies both ways until both have ended; when one way ends, the other side is told.
func splice(a *gonet.TCPConn, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(a, b)
		_ = a.CloseWrite()
		if err != nil {
			_ = a.Close() // ends the other way too
		}
	}()
	_, err := io.Copy(b, a)
	if half, ok := b.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite()
	} else {
		_ = b.Close()
	}
	<-done
}

// serveUDP takes a step's first datagram from one port to another. If it is not allowed, the answer
// is that the port is closed.
func (r *Router) serveUDP(request *udp.ForwarderRequest) bool {
	to := target(request.ID())
	var out net.Conn
	if !isResolver(to) {
		<-r.ready
		if !r.policy.allowed(to.Addr(), to.Port()) { // a name not known yet is known for the next one
			r.learnSoon(to)
			return false
		}
		var err error
		if out, err = r.dial("udp", to); err != nil {
			return false
		}
	}
	if !take(r.udp) {
		closeAll(out)
		return false
	}
	var queue waiter.Queue
	end, err := request.CreateEndpoint(&queue)
	if err != nil {
		<-r.udp
		closeAll(out)
		return false
	}
	in := gonet.NewUDPConn(&queue, end)
	r.all.Go(func() {
		defer func() { <-r.udp }()
		defer closeAll(in, out)
		stop := context.AfterFunc(r.ctx, func() { closeAll(in, out) })
		defer stop()
		if out == nil {
			r.resolveDatagrams(in)
			return
		}
		r.all.Go(func() { relay(out, in); closeAll(in, out) })
		relay(in, out)
	})
	return true
}

func closeAll(conns ...net.Conn) {
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// relay carries datagrams one way until none has come for a while.
func relay(from, to net.Conn) {
	b := make([]byte, maxFrame)
	for {
		_ = from.SetReadDeadline(time.Now().Add(udpIdle))
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil && !errors.Is(err, io.ErrShortWrite) {
			return
		}
	}
}
