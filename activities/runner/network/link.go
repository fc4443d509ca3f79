package network

import (
	"context"
	"encoding/binary"
	"os"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	queued      = 512     // packets on their way to the step; more are dropped, and sent again
	maxFrame    = 1 << 16 // of the step's frames
	frameHeader = 14      // Ethernet: two addresses and a type
)

// ethernetAddrs holds the address of the step's end of the device, and the source address of frames to
// it.
var ethernetAddrs = [12]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}

// newLink is the router's end of the device. Traffic within the host needs no checksums.
func newLink() *channel.Endpoint {
	link := channel.New(queued, MTU, "")
	link.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	return link
}

// receive passes the step's frames to the router until the device is closed.
func receive(device *os.File, to *channel.Endpoint) {
	frame := make([]byte, maxFrame)
	for {
		n, err := device.Read(frame)
		if err != nil {
			return
		}
		if n <= frameHeader {
			continue
		}
		var protocol tcpip.NetworkProtocolNumber
		switch kind := tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])); kind {
		case header.IPv4ProtocolNumber, header.IPv6ProtocolNumber:
			protocol = kind
		default:
			continue
		}
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[frameHeader:n])})
		to.InjectInbound(protocol, packet)
		packet.DecRef()
	}
}

// send writes the router's frames to the step's device.
func send(ctx context.Context, from *channel.Endpoint, device *os.File) {
	frame := make([]byte, frameHeader, maxFrame)
	copy(frame, ethernetAddrs[:])
	for {
		packet := from.ReadContext(ctx)
		if packet == nil {
			return
		}
		binary.BigEndian.PutUint16(frame[12:], uint16(packet.NetworkProtocolNumber))
		view := packet.ToView()
		whole := append(frame, view.AsSlice()...) //nolint:gocritic // frame stays the header alone
		view.Release()
		packet.DecRef()
		_, _ = device.Write(whole) // if the device is full, it drops the frame, which is sent again
	}
}
