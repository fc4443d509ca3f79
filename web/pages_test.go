package web_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
	"github.com/holdfast/holdfast/web/api"
)

func TestUI_IsServedWithItsPages(t *testing.T) {
	t.Parallel()
	ui := fstest.MapFS{
		"index.html":               {Data: []byte("<!doctype html><title>Holdfast</title>" + strings.Repeat(" ", 2000))},
		"assets/index-BxY3_a1Z.js": {Data: []byte("console.log(1)" + strings.Repeat(" ", 2000))},
		"favicon.svg":              {Data: []byte("<svg/>")},
	}
	e := start(t, withOptions(func(o *web.Options) { o.UI = ui }))
	for path, want := range map[string][3]string{ // type, caching, text
		"/":                         {"text/html; charset=utf-8", "no-cache", "Holdfast"},
		"/sessions/abc":             {"text/html; charset=utf-8", "no-cache", "Holdfast"},
		"/index.html":               {"text/html; charset=utf-8", "no-cache", "Holdfast"},
		"/assets/index-BxY3_a1Z.js": {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "console"},
		"/favicon.svg":              {"image/svg+xml", "no-cache", "svg"},
	} {
		r := e.do("GET", path, "") // the client asks for gzip and unpacks it
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != want[0] || r.Header.Get("Cache-Control") != want[1] || !strings.Contains(string(r.body), want[2]) {
			t.Errorf("%s: %d %v %.60s", path, r.StatusCode, r.Header, r.body)
		}
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if r := e.do("GET", "/assets/index-BxY3_a1Z.js", "", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "gzip" || len(r.body) > 500 {
		t.Errorf("not packed: %v", r.Header)
	}
	r := e.do("GET", "/", "")
	if again := e.do("GET", "/", "", "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %d", again.StatusCode)
	}
	e.do("GET", "/assets/old-12345678.js", "").problem(t, 404, schema.CodeNotFound)
	e.noErrors()
}

func TestUI_SaysThatItWasNotBuilt(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.UI = fstest.MapFS{"placeholder.txt": {Data: []byte("x")}} }))
	if r := e.do("GET", "/sessions", ""); r.StatusCode != http.StatusOK || !strings.Contains(string(r.body), "make build") {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
}

func TestDocs_NeedNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	e := start(t)
	for path, kind := range map[string]string{"/api/docs": "text/html", "/api/docs/docs.js": "text/javascript", "/api/docs/docs.css": "text/css"} {
		r := e.do("GET", path, "")
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), kind) || strings.Contains(string(r.body), "https://") {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	var doc struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	e.do("GET", "/api/openapi.json", "").into(t, 200, &doc)
	if doc.OpenAPI != "3.1.0" || doc.Paths["/api/sessions/{id}/files/{path}"] == nil {
		t.Fatalf("the document is %+v", doc)
	}
}

func TestDocuments_AreCurrent(t *testing.T) {
	t.Parallel()
	openapi, asyncapi, err := api.Documents()
	must(t, err)
	for name, want := range map[string][]byte{"openapi.json": openapi, "asyncapi.json": asyncapi} {
		got, err := os.ReadFile(name)
		must(t, err)
		if string(got) != string(want) {
			t.Errorf("web/%s is not current; run: make generate", name)
		}
	}
}

// Every frame and every event has its message, with the schema of its data in the document itself.
func TestAsyncAPI_HasEveryFrame(t *testing.T) {
	t.Parallel()
	e := start(t)
	var doc struct {
		AsyncAPI   string `json:"asyncapi"`
		Operations map[string]struct {
			Messages []any `json:"messages"`
		} `json:"operations"`
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Properties map[string]map[string]any `json:"properties"`
				} `json:"payload"`
			} `json:"messages"`
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	e.do("GET", "/api/asyncapi.json", "").into(t, 200, &doc)
	if doc.AsyncAPI != "3.0.0" {
		t.Errorf("it is AsyncAPI %q", doc.AsyncAPI)
	}
	if sent, got := len(wire.ClientFrames), len(doc.Operations["receiveFrames"].Messages); got != sent {
		t.Errorf("clients send %d frames, and there are %d", got, sent)
	}
	if received, got := len(wire.ServerFrames)+len(schema.Events), len(doc.Operations["sendFrames"].Messages); got != received {
		t.Errorf("the server sends %d frames and events, and there are %d", got, received)
	}
	for _, f := range wire.ClientFrames {
		if doc.Components.Messages["client."+f.Type].Payload.Properties["type"] == nil {
			t.Errorf("there is no frame %s", f.Type)
		}
	}
	for prefix, table := range map[string][]schema.Payload{"server.": wire.ServerFrames, "event.": schema.Events} {
		for _, p := range table {
			ref, _ := doc.Components.Messages[prefix+string(p.Type)].Payload.Properties["data"]["$ref"].(string)
			if doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")] == nil {
				t.Errorf("the data of %s%s is %q, which is not in the document", prefix, p.Type, ref)
			}
		}
	}
}

func TestMetrics_CountWhatHappens(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("GET", "/api/sessions/x", "")
	text := string(e.do("GET", "/metrics", "").body)
	for _, line := range []string{"holdfast_connections 0", "holdfast_connections_max 10000", `holdfast_requests_total{status="4xx"} 1`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
}

func TestPlans_AreCheckedWithTheirPlaces(t *testing.T) {
	t.Parallel()
	e := start(t)
	check := func(source string) wire.PlanValidation {
		var v wire.PlanValidation
		e.do("POST", "/api/plans/validate", string(schema.Marshal(wire.PlanSource{Source: source}))).into(t, 200, &v)
		return v
	}
	if v := check(plainPlan); !v.Valid || v.Plan == nil || len(v.Problems) != 0 {
		t.Fatalf("%+v", v)
	}
	v := check("{\"steps\": [\n  {\"id\": \"a\", \"run\": []}\n]}")
	if v.Valid || v.Plan != nil || v.Problems[0].Line != 2 || v.Problems[0].Location != "steps[0].run" {
		t.Fatalf("%+v", v)
	}
	v = check("{\"steps\": [\n  {\"id\": \"a\", \"run\": [\"x\"]},\n  {\"id\": \"b\",\n   \"agent\": \"x\", \"task\": \"y\"}]}")
	if v.Valid || len(v.Problems) != 1 || v.Problems[0].Location != "steps[1].agent" || v.Problems[0].Line != 4 || v.Problems[0].Column != 13 {
		t.Fatalf("%+v", v)
	}
	// As many of them are told as of other problems, each at its place.
	agents := make([]string, 500)
	for i := range agents {
		agents[i] = fmt.Sprintf(`{"id":"a%d","task":"x","agent":"x"}`, i)
	}
	v = check(`{"steps":[` + strings.Join(agents, ",\n") + `]}`)
	if last := v.Problems[len(v.Problems)-1]; len(v.Problems) != 50 || last.Line != 50 || last.Location != "steps[49].agent" {
		t.Fatalf("%d, the last of them %+v", len(v.Problems), last)
	}
	if v := check(""); v.Valid || len(v.Problems) != 1 {
		t.Fatalf("%+v", v)
	}
}

func TestExamples_AreListedWithTheirSource(t *testing.T) {
	t.Parallel()
	examples := fstest.MapFS{
		"index.json": {Data: []byte(`[{"id":"one","title":"One","description":"The first","file":"one.json"}]`)},
		"one.json":   {Data: []byte(plainPlan)},
	}
	e := start(t, withOptions(func(o *web.Options) { o.Examples = examples }))
	var list wire.ExampleList
	e.do("GET", "/api/examples", "").into(t, 200, &list)
	if len(list.Examples) != 1 || list.Examples[0].Source != plainPlan || len(list.Examples[0].Plan.Steps) != 2 || list.Examples[0].Title != "One" {
		t.Fatalf("%+v", list)
	}
}
