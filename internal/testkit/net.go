package testkit

import (
	"net"
	"testing"
)

// FreeAddr is a loopback address on which nobody listens, for a program that has to be told its address before it starts.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	Must(tb, err)
	Must(tb, l.Close())
	return l.Addr().String()
}
