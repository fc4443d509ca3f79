package web_test

import (
	"os"
	"sync"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

var temporalServer *embeddedtest.Temporal

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(m, stopWorker, embeddedtest.WithTemporal(&temporalServer)))
}

// shared is the one client and worker of the scripted workflow, for all tests.
var shared struct {
	sync.Mutex

	client client.Client
	worker worker.Worker
}

func sharedTemporal(t *testing.T) client.Client {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.client == nil {
		c, err := client.NewLazyClient(client.Options{HostPort: temporalServer.Addr(), Logger: logs.Discard()})
		must(t, err)
		shared.client, shared.worker = c, newWorker(c)
		must(t, shared.worker.Start())
	}
	return shared.client
}

// stopWorker is a server for tests only in that it has something to stop.
func stopWorker() (func() error, error) {
	return func() error {
		shared.Lock()
		defer shared.Unlock()
		if shared.client != nil {
			shared.worker.Stop()
			shared.client.Close()
		}
		return nil
	}, nil
}
