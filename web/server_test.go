package web_test

import (
	"net"
	"testing"
	"testing/fstest"

	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/web"
)

// A listener is its caller's until the server runs: one that could not be made leaves it as it was.
func TestNew_LeavesTheCallersListenerAloneWhenItFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	s, _ := storetest.NewDSN(t)
	broken := fstest.MapFS{"index.json": {Data: []byte("{")}}
	if _, err := web.New(web.Options{Listener: listener, Store: s, Temporal: sharedTemporal(t), Examples: broken}); err == nil {
		t.Fatal("broken examples were accepted")
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	_ = conn.Close()
}
