package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by OTLP over HTTP.
type receiver struct {
	mu  sync.Mutex
	all []span
}

// span is what a test wants to know of one.
type span struct{ trace, id, parent, name string }

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var got collector.ExportTraceServiceRequest
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range got.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.all = append(r.all, span{hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId()), s.GetName()})
			}
		}
	}
}

func (r *receiver) spans(trace string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, s := range r.all {
		if s.trace == trace {
			b.WriteString(s.name + "\n")
		}
	}
	return b.String()
}

// below reports whether a trace has a span of one name right below one of another.
func (r *receiver) below(trace, name, parent string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(s span) bool {
		return s.trace == trace && s.name == name && slices.ContainsFunc(r.all, func(p span) bool { return p.id == s.parent && p.name == parent })
	})
}

// callTraced is a call that belongs to a trace.
func (s *stack) callTraced(trace, path string, body obj) {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, s.web+path, bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Holdfast-User", "ada")
	req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
		s.t.Fatalf("%s: %d %s", path, res.StatusCode, answer)
	}
}

// record is a line of the log.
type record map[string]any

// records are the lines of the log that are JSON, each checked to name nothing twice.
func (s *stack) records() []record {
	s.t.Helper()
	var all []record
	for line := range strings.Lines(s.log.String()) {
		line = strings.TrimSpace(line)
		r := record{}
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &r) != nil {
			continue
		}
		all = append(all, r)
		d, seen := json.NewDecoder(strings.NewReader(line)), map[string]bool{}
		if _, err := d.Token(); err != nil {
			s.t.Fatal(err)
		}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				s.t.Fatal(err)
			}
			name, _ := key.(string)
			if seen[name] {
				s.t.Errorf("a line names %q twice: %s", name, line)
			}
			seen[name] = true
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return all
}

func (s *stack) lines(msg string) (all []record) {
	for _, r := range s.records() {
		if r["msg"] == msg {
			all = append(all, r)
		}
	}
	return all
}

func (s *stack) awaitLine(msg string) record {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if found := s.lines(msg); len(found) > 0 {
			return found[0]
		}
	}
	s.t.Fatalf("nobody has logged %q", msg)
	return nil
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", url, res.StatusCode, err)
	}
	return string(b)
}

var (
	inTable = regexp.MustCompile("(?m)^\\| `(holdfast_[a-z_]+)` \\| ([a-z]+) \\|")
	exposed = regexp.MustCompile(`(?m)^# TYPE (holdfast_[a-z_]+) ([a-z]+)$`)
)

func TestObservability_ASuspensionIsLoggedWithWhoAskedForIt(t *testing.T) {
	t.Parallel()
	s := newStack(t, "HOLDFAST_LOG_FORMAT=json")
	id := s.start(`{"steps":[{"id":"long","shell":"sleep 600"}]}`, nil)
	s.watch(id).awaitType("step_started")
	for _, command := range []struct{ name, said, step string }{{"suspend", "session suspended", "step frozen"}, {"resume", "session resumed", "step thawed"}} {
		s.mustCall("POST", "/api/sessions/"+id+"/"+command.name, obj{}, nil)
		line, step := s.awaitLine(command.said), s.awaitLine(command.step)
		if line["session_id"] != id || line["run_id"] == nil || line["actor"] == nil || step["step_id"] != "long" {
			t.Errorf("%s: %v, %v", command.name, line, step)
		}
	}
	s.mustCall("POST", "/api/sessions/"+id+"/cancel", obj{}, nil)
	if line := s.awaitLine("run ended"); line["session_id"] != id || line["actor"] == nil || line["status"] != "cancelled" {
		t.Errorf("%v", line)
	}
}

func TestObservability_OneSessionIsSeenInLogsMetricsAndTraces(t *testing.T) {
	t.Parallel()
	spans := &receiver{}
	backend := httptest.NewServer(spans)
	t.Cleanup(backend.Close)
	s := newStack(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+backend.URL, "OTEL_BSP_SCHEDULE_DELAY=200", "HOLDFAST_LOG_FORMAT=json")
	const decision = "4bf92f3577b34da6a3ce929d0e0e4736"
	id := s.start(`{"steps":[{"id":"first","shell":"echo parent=$TRACEPARENT","approval":true},{"id":"bad","shell":"exit 3","needs":["first"]}]}`, nil)
	v := s.watch(id)
	asked := s.awaitSession(id, "approval", func(got session) bool { return len(got.Pending) == 1 })
	s.callTraced(decision, "/api/approvals/"+asked.Pending[0].ID+"/resolve", obj{"resolution": "approved"})
	s.awaitStatus(id, "failed")

	// Logs: what happened, with whom and where, each once.
	for msg, want := range map[string]record{
		"session started":  {"component": "web", "session_id": id},
		"run started":      {"component": "worker", "session_id": id},
		"approval decided": {"session_id": id, "step_id": "first", "actor": "ada", "resolution": "approved"},
		"attempt ended":    {"session_id": id, "step_id": "first", "attempt": 1.0},
		"attempt failed":   {"session_id": id, "step_id": "bad", "attempt": 1.0, "exit_code": 3.0},
		"run failed":       {"session_id": id},
		"session failed":   {"session_id": id},
	} {
		line := s.awaitLine(msg)
		for key, value := range want {
			if line[key] != value {
				t.Errorf("%q has %s %v, want %v", msg, key, line[key], value)
			}
		}
		if msg != "session started" && line["run_id"] == nil {
			t.Errorf("%q has no run_id: %v", msg, line)
		}
		if n := len(s.lines(msg)); n != 1 {
			t.Errorf("%q was logged %d times", msg, n)
		}
	}
	if line := s.awaitLine("listening"); "http://"+line["addr"].(string) != s.web {
		t.Errorf("web listens on %v, and says %v", s.web, line)
	}
	s.awaitLine("dependency found")

	// Traces: from the request of the decision to the program, and back.
	if got := printed(t, v.snapshot(), "first", 1); !strings.Contains(got, "parent=00-"+decision+"-") {
		t.Errorf("the step printed %q, want the decision's trace", got)
	}
	for _, want := range []string{"POST /api/approvals/", "UpdateWorkflow:resolve_approval", "HandleUpdate:resolve_approval", "StartActivity:Steps.Run", "RunActivity:Steps.Run", "step", "deliver events"} {
		for deadline := time.Now().Add(patience); !strings.Contains("\n"+spans.spans(decision), "\n"+want); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no span %q in\n%s", want, spans.spans(decision))
			}
		}
	}

	for deadline := time.Now().Add(patience); !spans.below(decision, "deliver events", "step"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("what the step recorded was not delivered in its trace:\n%s", spans.spans(decision))
		}
	}

	// Metrics: what is documented is exposed, and nothing else is.
	worker, _ := s.awaitLine("metrics are served")["addr"].(string)
	text := scrape(t, s.web+"/metrics") + scrape(t, "http://"+worker+"/metrics")
	scrape(t, "http://"+worker+"/healthz")
	scrape(t, "http://"+worker+"/readyz")
	page, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	inPage, inText := map[string]string{}, map[string]string{}
	for _, m := range inTable.FindAllStringSubmatch(string(page), -1) {
		inPage[m[1]] = m[2]
	}
	for _, m := range exposed.FindAllStringSubmatch(text, -1) {
		inText[m[1]] = m[2]
	}
	for name, kind := range inPage {
		if inText[name] != kind {
			t.Errorf("%s is documented as a %s, and exposed as %q", name, kind, inText[name])
		}
	}
	for name := range inText {
		if inPage[name] == "" {
			t.Errorf("%s is exposed and not documented", name)
		}
	}
	for _, want := range []string{`holdfast_sessions{mode="runbook",`, "holdfast_decision_start_seconds_count 1", `temporal_activity_execution_latency_seconds_count{activity_type="Steps.Run"`, `operation="UpdateWorkflowExecution"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}
