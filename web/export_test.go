package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

// exported downloads and opens an archive.
func (e *env) exported(id string) (*zip.Reader, schema.ExportManifest) {
	e.Helper()
	r := e.do("GET", "/api/sessions/"+id+"/export", "")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/zip" ||
		r.Header.Get("Content-Disposition") != `attachment; filename="session-`+id[:8]+`.zip"` {
		e.Fatalf("%d %v %.200s", r.StatusCode, r.Header, r.body)
	}
	z, err := zip.NewReader(bytes.NewReader(r.body), int64(len(r.body)))
	must(e, err)
	var m schema.ExportManifest
	if last := z.File[len(z.File)-1]; last.Name != "manifest.json" {
		e.Fatalf("the last entry is %s", last.Name)
	}
	must(e, json.Unmarshal(entry(e, z, "manifest.json"), &m))
	if m.Format != "holdfast-export-1" || m.SessionID != id || m.CreatedAt.IsZero() || m.Server != "test" {
		e.Fatalf("%+v", m)
	}
	return z, m
}

func entry(t testing.TB, z *zip.Reader, name string) []byte {
	t.Helper()
	f, err := z.Open(name)
	must(t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	must(t, err)
	return text
}

func TestExport_IsTheWholeSession(t *testing.T) {
	t.Parallel()
	e := start(t)
	id := e.bare().ID
	run := schema.RunID(id, 1)
	ctx := t.Context()
	_, err := e.store.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(t, err)
	_, err = e.store.BeginAttempt(ctx, store.BeginAttempt{SessionID: id, RunID: run, StepID: "a", Execution: "1", Host: "h", Command: []string{"true"}})
	must(t, err)
	chunks := make([]schema.OutputData, 3000)
	for i := range chunks {
		chunks[i] = schema.OutputData{Stream: schema.Stdout, Text: strings.Repeat("é \x00\n", 10), Attempt: 1, Offset: int64(i)}
	}
	must(t, e.store.AppendOutput(ctx, store.AppendOutput{SessionID: id, RunID: run, StepID: "a", Attempt: 1, To: 1, Chunks: chunks}))
	for i := range 250 {
		must(t, e.store.AddMessage(ctx, itoa(int64(i)), schema.Message{SessionID: id, Role: "user", Content: "message " + itoa(int64(i))}))
	}
	_, err = e.store.RenameSession(ctx, id, 1, "renamed", "ann")
	must(t, err)
	e.workspace(id)
	// The first part of the log is in blocks, and a part is archived as well as live.
	_, err = e.store.Compact(ctx, id)
	must(t, err)
	e.append(id, 1, 20)

	z, m := e.exported(id)
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	want := "session.json runs.json plans.json messages.json approvals.json audit.json files/a b ü%.txt files/empty files/inside.txt files/out/deep/data.csv files/out/plot.svg files/page.html files/result.txt events.ndjson manifest.json"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the entries are %s", got)
	}
	head, err := e.store.HeadSeq(ctx, id)
	must(t, err)
	files, size := m.Counts.Files, m.Counts.FileBytes
	m.Counts.Files, m.Counts.FileBytes = 0, 0
	if m.HeadSeq != head || files != 7 || size < 30 || m.Counts != (schema.ExportCounts{Runs: 1, Plans: 1, Messages: 250, Audit: 2, Events: head}) {
		t.Errorf("%+v, %d files, %d bytes", m, files, size)
	}
	var session schema.Session
	must(t, json.Unmarshal(entry(t, z, "session.json"), &session))
	if session.ID != id || session.Name != "renamed" {
		t.Errorf("%+v", session)
	}
	for name, path := range map[string]string{"runs": "/runs", "approvals": "/approvals", "audit": "/audit"} {
		var got, want map[string]any
		must(t, json.Unmarshal(entry(t, z, name+".json"), &got))
		e.do("GET", "/api/sessions/"+id+path, "").into(t, 200, &want)
		if a, b := string(schema.Marshal(got[name])), string(schema.Marshal(want[name])); a != b {
			t.Errorf("%s.json has %s, the API %s", name, a, b)
		}
	}
	var plans struct {
		Plans []schema.SavedPlan `json:"plans"`
	}
	must(t, json.Unmarshal(entry(t, z, "plans.json"), &plans))
	if len(plans.Plans) != 1 || plans.Plans[0].Plan.Digest() != plans.Plans[0].Digest {
		t.Errorf("%+v", plans)
	}
	var messages wire.MessageList
	must(t, json.Unmarshal(entry(t, z, "messages.json"), &messages))
	for i, message := range messages.Messages {
		if message.Content != "message "+itoa(int64(i)) {
			t.Fatalf("message %d is %+v", i, message)
		}
	}
	if got := string(entry(t, z, "files/result.txt")); got != "0123456789" {
		t.Errorf("the file is %q", got)
	}
	// The log, as the WebSocket sends it.
	c := e.dial("")
	c.subscribe(id, 0)
	frames := c.collect(0, head)
	i := 0
	for line := range bytes.Lines(entry(t, z, "events.ndjson")) {
		var got schema.Event
		must(t, json.Unmarshal(line, &got))
		if i == len(frames) || !bytes.Equal(schema.Marshal(got), schema.Marshal(frames[i])) {
			t.Fatalf("line %d is %.300s", i+1, line)
		}
		i++
	}
	if i != len(frames) {
		t.Errorf("the log ends after %d", i)
	}
	e.noErrors()
}

func TestExport_OfAnEmptySession(t *testing.T) {
	t.Parallel()
	e := start(t)
	id := e.bare().ID
	z, m := e.exported(id)
	if m.HeadSeq != 0 || m.Counts != (schema.ExportCounts{Plans: 1, Audit: 1}) || len(entry(t, z, "events.ndjson")) != 0 ||
		string(entry(t, z, "runs.json")) != "{\"runs\":[\n]}\n" {
		t.Errorf("%+v", m)
	}
	if r := e.do("HEAD", "/api/sessions/"+id+"/export", ""); r.StatusCode != http.StatusOK || len(r.body) != 0 {
		t.Errorf("HEAD: %d", r.StatusCode)
	}
	e.do("GET", "/api/sessions/"+schema.NewID()+"/export", "").problem(t, 404, schema.CodeNotFound)
	e.do("GET", "/api/sessions/x/export", "").problem(t, 404, schema.CodeNotFound)
	e.do("GET", "/api/sessions/"+id+"/export?since=3", "").problem(t, 422, schema.CodeInvalid)
	e.do("POST", "/api/sessions/"+id+"/export", "").problem(t, 405, schema.CodeMethod)
	e.noErrors()
}

func TestExport_HasTheFilesOfAHostElsewhere(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	big := strings.Repeat("0123456789", 500_000)
	must(t, os.MkdirAll(filepath.Join(e.dir, "out"), 0o755))
	must(t, os.WriteFile(filepath.Join(e.dir, "out", "big"), []byte(big), 0o600))
	must(t, os.Symlink("out/big", filepath.Join(e.dir, "link")))
	e.save()
	z, m := e.exported(e.id)
	if m.Counts.Files != 2 || string(entry(t, z, "files/out/big")) != big || string(entry(t, z, "files/link")) != big {
		t.Errorf("%+v", m)
	}
	e.noErrors()
}

// noise puts a file into the workspace that does not compress.
func (e *env) noise(id string, size int) []byte {
	e.Helper()
	dir := schema.WorkspaceDir(e.dir, id)
	must(e, os.MkdirAll(dir, 0o755))
	noise := make([]byte, size)
	_, _ = rand.Read(noise)
	must(e, os.WriteFile(filepath.Join(dir, "noise"), noise, 0o600))
	return noise
}

// What goes wrong in the middle must not look like an end.
func TestExport_ThatFailsIsBrokenOff(t *testing.T) {
	t.Parallel()
	e := start(t)
	id := e.bare().ID
	e.append(id, 1, 5)
	e.noise(id, 1<<20) // so that the answer begins before it fails
	conn, err := pgx.Connect(t.Context(), e.dsn)
	must(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `DELETE FROM events WHERE session_id = $1 AND seq = 3`, id)
	must(t, err)
	resp, err := e.http.Get(e.url + "/api/sessions/" + id + "/export")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	if _, err := zip.NewReader(bytes.NewReader(text), int64(len(text))); err == nil {
		t.Fatal("what there is looks like an archive")
	}
	// The server goes on, and so do other exports.
	e.exported(e.bare().ID)
}

func TestExport_SomeAtATime(t *testing.T) {
	t.Parallel()
	e := start(t)
	id := e.bare().ID
	noise := e.noise(id, 16<<20) // more than all buffers on the way hold
	path := e.url + "/api/sessions/" + id + "/export"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var open []*http.Response
	for range 4 { // clients that take nothing yet
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		must(t, err)
		resp, err := e.http.Do(req)
		must(t, err)
		defer resp.Body.Close()
		open = append(open, resp)
	}
	e.do("GET", "/api/sessions/"+id+"/export", "").problem(t, 503, schema.CodeUnavailable)
	text, err := io.ReadAll(open[0].Body)
	must(t, err)
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	must(t, err)
	if !slices.Equal(entry(t, z, "files/noise"), noise) {
		t.Error("the file is another one")
	}
	cancel() // the others go away without a word
	for range 5 {
		testkit.Eventually(t, "a further export", func() bool {
			return e.do("HEAD", "/api/sessions/"+id+"/export", "").StatusCode == http.StatusOK
		})
	}
	e.exported(id)
	e.noErrors()
}
