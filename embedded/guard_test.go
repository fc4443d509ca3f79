package embedded_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
)

// ask sends a request as a browser would for a page, and returns the status and the body.
func ask(t *testing.T, method, address, body string, headers map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		if name == "Host" {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	quick := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := quick.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestAttack_TemporalIsNoSecondDoor signals and reads as a foreign page can, through each HTTP port of the embedded Temporal.
func TestAttack_TemporalIsNoSecondDoor(t *testing.T) {
	t.Parallel()
	server := &embedded.Temporal{Dir: t.TempDir()}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Stop(t.Context())
	unguard, err := server.GuardUI()
	if err != nil {
		t.Fatal(err)
	}
	defer unguard()
	connection, err := client.Dial(client.Options{HostPort: server.Addr(), Logger: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	options := client.StartWorkflowOptions{ID: "session-of-the-test", TaskQueue: "nobody-polls"}
	if _, err := connection.ExecuteWorkflow(t.Context(), options, "Session"); err != nil {
		t.Fatal(err)
	}

	const signal = "/api/v1/namespaces/default/workflows/session-of-the-test/signal/resolve_approval"
	const batch = "/api/v1/namespaces/default/batch-operations/all"
	foreign := map[string]string{"Origin": "http://evil.example", "Content-Type": "text/plain", "Sec-Fetch-Site": "cross-site"}
	rebound := map[string]string{"Host": "evil.example", "Origin": "http://evil.example", "Content-Type": "text/plain"}
	doors := append(embedded.HTTPDoors(server), strings.TrimPrefix(server.UIURL(), "http://"))
	for _, door := range doors {
		for _, headers := range []map[string]string{foreign, rebound, {"Content-Type": "text/plain", "Host": "evil.example:" + door[strings.LastIndex(door, ":")+1:]}} {
			for _, path := range []string{signal, batch} {
				if status, text := ask(t, http.MethodPost, "http://"+door+path, "{}", headers); status < 400 {
					t.Errorf("POST http://%s%s with %v answers %d: %s", door, path, headers, status, text)
				}
			}
		}
		for _, path := range []string{"/api/v1/namespaces", "/"} {
			if status, text := ask(t, http.MethodGet, "http://"+door+path, "", rebound); status < 400 {
				t.Errorf("GET http://%s%s by another name answers %d: %.200s", door, path, status, text)
			}
		}
	}
	events := connection.GetWorkflowHistory(t.Context(), options.ID, "", false, 0)
	for n := 1; events.HasNext(); n++ {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if n > 2 { // the start, and a task that nobody takes
			t.Errorf("the workflow has heard of something: %s", event.GetEventType())
		}
	}

	// The Web UI itself answers anyone, so it must be where no page can find it.
	if inner := embedded.InnerUI(server); inner != "" {
		host, _, err := net.SplitHostPort(inner)
		if ip := net.ParseIP(host); err != nil || ip == nil || ip.Equal(net.IPv4(127, 0, 0, 1)) || !ip.IsLoopback() {
			t.Errorf("the Web UI listens on %s", inner)
		}
	}
}

// A socket closed a moment ago may live on in a child that is just starting.
func TestGuardUI_WaitsForItsPort(t *testing.T) {
	t.Parallel()
	server := &embedded.Temporal{Dir: t.TempDir()}
	if err := server.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(embedded.Loopback, strconv.Itoa(server.UIPort)))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = held.Close() })
	unguard, err := server.GuardUI()
	if err != nil {
		t.Fatal(err)
	}
	if err := unguard(); err != nil {
		t.Fatal(err)
	}
}

func TestGuardUI_LetsABrowserOfThisMachineIn(t *testing.T) {
	t.Parallel()
	server := &embedded.Temporal{Dir: t.TempDir()}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Stop(t.Context())
	unguard, err := server.GuardUI()
	if err != nil {
		t.Fatal(err)
	}
	defer unguard()
	if server.UIURL() == "" {
		testkit.Skip(t, "this system has one loopback address, and no Web UI")
	}
	port := server.UIURL()[strings.LastIndex(server.UIURL(), ":"):]
	testkit.Eventually(t, "the UI to reach the server", func() bool {
		status, _ := ask(t, http.MethodGet, server.UIURL()+"/api/v1/namespaces/default", "", nil)
		return status == http.StatusOK
	})
	for _, headers := range []map[string]string{
		{}, {"Host": "localhost" + port}, {"Host": "localhost:9999", "Origin": "http://localhost:9999", "Sec-Fetch-Site": "same-origin"},
		{"Host": "[::1]" + port}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, {"Sec-Fetch-Site": "none"},
	} {
		if status, text := ask(t, http.MethodGet, server.UIURL()+"/", "", headers); status != http.StatusOK || !strings.Contains(text, "<html") {
			t.Errorf("GET / with %v answers %d: %.200s", headers, status, text)
		}
		if status, text := ask(t, http.MethodGet, server.UIURL()+"/api/v1/namespaces/default", "", headers); status != http.StatusOK || !strings.Contains(text, `"default"`) {
			t.Errorf("the UI's own question with %v answers %d: %.200s", headers, status, text)
		}
	}
}
