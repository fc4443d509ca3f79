package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/holdfast/holdfast/internal/testkit"
)

// device is a pair of ends that carry frames.
func device(t *testing.T) (router, step *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	router, step = os.NewFile(uintptr(pair[0]), "router"), os.NewFile(uintptr(pair[1]), "step")
	t.Cleanup(func() { _ = step.Close() })
	return router, step
}

// datagram is a frame with a datagram to a port of 10.1.1.1.
func datagram(port uint16) []byte {
	const size = header.IPv4MinimumSize + header.UDPMinimumSize
	frame := make([]byte, frameHeader+size)
	binary.BigEndian.PutUint16(frame[12:], uint16(header.IPv4ProtocolNumber))
	ip := header.IPv4(frame[frameHeader:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: size, TTL: 64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: tcpip.AddrFrom4([4]byte{198, 18, 0, 2}), DstAddr: tcpip.AddrFrom4([4]byte{10, 1, 1, 1}),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.UDP(ip.Payload()).Encode(&header.UDPFields{SrcPort: 1000, DstPort: port, Length: header.UDPMinimumSize})
	return frame
}

// TestServeUDP_WhatIsNotAllowedIsLookedUpOneAtATime: a step sends datagrams faster than names are
// looked up.
func TestServeUDP_WhatIsNotAllowedIsLookedUpOneAtATime(t *testing.T) {
	r, err := New(Options{Allow: []string{"slow.example:*"}})
	if err != nil {
		t.Fatal(err)
	}
	r.names = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done() // a name server that does not answer
		return nil, ctx.Err()
	}}
	router, step := device(t)
	r.Serve(router)
	defer r.Close()
	before := runtime.NumGoroutine()
	const datagrams = 1000
	for i := range datagrams {
		if _, err := step.Write(datagram(uint16(2000 + i))); err != nil {
			t.Fatal(err)
		}
	}
	received := r.stack.Stats().IP.PacketsDelivered
	testkit.EventuallyRight(t, "all datagrams", func() string {
		if n := received.Value(); n < datagrams {
			return fmt.Sprintf("%d have come", n)
		}
		return ""
	})
	if more := runtime.NumGoroutine() - before; more > 50 {
		t.Fatalf("%d more goroutines after %d datagrams", more, datagrams)
	}
}
