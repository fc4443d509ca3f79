package web_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

// ask sends a request as it stands, and returns the status of the answer and what follows its head.
func (e *env) ask(request string) (status int, answer string) {
	e.Helper()
	address := strings.TrimPrefix(e.url, "http://")
	conn, err := net.DialTimeout("tcp", address, testTimeout)
	must(e, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	_, err = io.WriteString(conn, strings.ReplaceAll(request, "{host}", address))
	must(e, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(e, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, ""
	}
	body, err := io.ReadAll(resp.Body)
	must(e, err)
	return resp.StatusCode, string(body)
}

// paths lists every path of the API, with ids in the place of parameters.
func (e *env) paths(session, approval string) map[string][]string {
	e.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	e.do("GET", "/api/openapi.json", "").into(e, 200, &doc)
	paths := map[string][]string{"/ws": {"GET"}, "/": {"GET"}, "/metrics": {"GET"}}
	for path, operations := range doc.Paths {
		id := session
		if strings.HasPrefix(path, "/api/approvals/") {
			id = approval
		}
		path = strings.NewReplacer("{id}", id, "{path}", "a.txt").Replace(path)
		for method := range operations {
			paths[path] = append(paths[path], strings.ToUpper(method))
		}
	}
	if len(paths) < 20 {
		e.Fatalf("only %d paths", len(paths))
	}
	return paths
}

// spellings are other ways to write a path that a server may take for the same.
func spellings(path string) []string {
	last := path[strings.LastIndex(path, "/")+1:]
	encoded := path
	if last != "" {
		encoded = path[:len(path)-len(last)] + fmt.Sprintf("%%%02x", last[0]) + last[1:]
	}
	return []string{
		path, path + "/", path + "//", strings.ToUpper(path), encoded, encoded + "/", path + "%2f", path + "%2F", path + "%00", path + "%20",
		path + ";x=1", path + ";", path + "/;", path + ".", path + "/.", path + "/..", path + "?", path + "?a=b", path + "#x", path + `\`,
		"/" + path, "/." + path, "/x/.." + path, "/%2e" + path, "/x/%2e%2e" + path, "/;" + path, "/%2f" + path[1:], `\` + path[1:],
		"http://{host}" + path, "http://{host}/" + path, "HTTP://{host}" + path, "http://evil.example" + path, "//{host}" + path,
		"//evil.example" + path, "//localhost" + path, "///" + path, "http:" + path, "ws://{host}" + path,
	}
}

const upgradeHeaders = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// TestAttack_EverySpellingOfEveryPathIsGuarded sends what a page of another site could make a browser send, and what a
// name that was made to point here would.
func TestAttack_EverySpellingOfEveryPathIsGuarded(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	before := e.session(s.ID)
	body := `{"resolution":"approved","content":"x","seconds":60,"version":1,"name":"x","mode":"runbook","source":"x","plan":` + plainPlan + `}`
	attack := func(method, target, header string, refusals ...int) {
		t.Helper()
		status, answer := e.ask(method + " " + target + " HTTP/1.1\r\n" + header + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
		if !slices.Contains(refusals, status) {
			t.Fatalf("%s %s with %q: %d %.300s", method, target, header, status, answer)
		}
	}
	const json = "Content-Type: application/json\r\n"
	for path, methods := range e.paths(s.ID, a.ID) {
		slices.Sort(methods)
		for _, method := range slices.Compact(methods) {
			for _, foreign := range []string{
				"Host: {host}\r\nOrigin: null\r\n" + upgradeHeaders,
				"Host: {host}\r\nOrigin: http://127.0.0.1:1\r\n" + upgradeHeaders, // a page of another port
				"Host: {host}\r\nOrigin: http://{host}\r\nOrigin: http://evil.example\r\n" + upgradeHeaders,
				"Host: {host}\r\nOrigin: http://{host}.evil.example\r\n" + upgradeHeaders,
				"Host: {host}\r\nOrigin: ftp://{host}\r\n" + upgradeHeaders,
				"Host: {host}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: websocket\r\n" + upgradeHeaders,
				"Host: {host}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
				"Host: {host}\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n",
				"Host: evil.example\r\nOrigin: http://evil.example\r\n" + upgradeHeaders,
				"Host: localhost.evil.example\r\n", "Host: localhost.\r\n", "Host: \r\n", "Host: 127.0.0.1.evil.example:80\r\n", "Host: localhost@evil.example\r\n",
			} {
				attack(method, path, foreign+json, http.StatusForbidden, http.StatusBadRequest)
			}
		}
		for _, spelt := range spellings(path) {
			for _, method := range slices.Compact(append(slices.Clone(methods), "POST")) {
				attack(method, spelt, "Host: {host}\r\nOrigin: http://evil.example\r\n"+upgradeHeaders+json, http.StatusForbidden, http.StatusBadRequest)
				attack(method, spelt, "Host: evil.example\r\n"+json, http.StatusForbidden, http.StatusBadRequest)
				if method != http.MethodGet {
					attack(method, spelt, "Host: {host}\r\nContent-Type: text/plain\r\n", http.StatusUnsupportedMediaType, http.StatusBadRequest)
				}
			}
		}
		for _, kind := range []string{"", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: multipart/form-data; boundary=x\r\n", "Content-Type: text/plain; a=application/json\r\n", "Content-Type: application/json, text/plain\r\n"} {
			attack("POST", path, "Host: {host}\r\n"+kind, http.StatusUnsupportedMediaType)
		}
	}
	if after := e.session(s.ID); after.HeadSeq != before.HeadSeq || after.Version != before.Version || len(after.PendingApprovals) != 1 {
		t.Fatalf("the session was %+v and is %+v", before, after)
	}
	var list wire.SessionList
	if e.do("GET", "/api/sessions", "").into(t, 200, &list); list.Total != 1 {
		t.Fatalf("there are %d sessions", list.Total)
	}
	e.noErrors()
}

// TestAttack_GuardsLetTheServersOwnPagesIn is the other side of the one before.
func TestAttack_GuardsLetTheServersOwnPagesIn(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, header := range []string{"", "Origin: http://{host}\r\n", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"} {
		if status, _ := e.ask("GET /ws HTTP/1.1\r\nHost: {host}\r\n" + header + upgradeHeaders + "\r\n"); status != http.StatusSwitchingProtocols {
			t.Errorf("a WebSocket with %q: %d", header, status)
		}
		for _, target := range []string{"/api/sessions", "http://{host}/api/sessions"} {
			if status, answer := e.ask("GET " + target + " HTTP/1.1\r\nHost: {host}\r\n" + header + "Connection: close\r\n\r\n"); status != 200 || !strings.Contains(answer, `"total"`) {
				t.Errorf("GET %s with %q: %d %.200s", target, header, status, answer)
			}
		}
	}
	const link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
	if status, answer := e.ask("GET /sessions HTTP/1.1\r\nHost: {host}\r\n" + link + "Connection: close\r\n\r\n"); status != 200 {
		t.Errorf("a link: %d %.200s", status, answer)
	}
	e.do("POST", "/api/sessions/"+schema.NewID()+"/suspend", "", "Content-Type", "application/json; charset=utf-8").problem(t, 404, schema.CodeNotFound)
	for _, path := range []string{"/api/sessions/", "/api/Sessions", "/API/sessions", "/api//sessions", "/api/%73essions", "/api/./sessions"} {
		if answer := e.do("GET", path, ""); strings.Contains(string(answer.body), `"total"`) {
			t.Errorf("%s is another spelling of the list", path)
		}
	}
}

// TestAttack_RequestsThatTwoServersReadInTwoWaysAreRefused closes the connection, too: what follows may be a part of them.
func TestAttack_RequestsThatTwoServersReadInTwoWaysAreRefused(t *testing.T) {
	t.Parallel()
	e := start(t)
	const smuggled = "0\r\n\r\nGET /api/modes HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"a space before the colon":     "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n" + smuggled,
		"length and chunks":            "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
		"chunks and length":            "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + smuggled,
		"length and identity":          "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n" + smuggled,
		"two lengths":                  "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + smuggled,
		"chunks twice":                 "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
		"another encoding":             "POST /api/sessions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + smuggled,
		"two Hosts":                    "GET /api/modes HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
		"the same Host twice":          "GET /api/modes HTTP/1.1\r\nHost: {host}\r\nhost: {host}\r\n\r\n",
		"no Host":                      "GET /api/modes HTTP/1.1\r\n\r\n",
		"a continued line":             "GET /api/modes HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n c: d\r\n\r\n",
		"a space in front of a header": "GET /api/modes HTTP/1.1\r\n Host: evil.example\r\nHost: {host}\r\n\r\n",
		"a header without a colon":     "GET /api/modes HTTP/1.1\r\nHost: {host}\r\nnonsense\r\n\r\n",
		"a name in the address":        "GET http://evil.example/api/modes HTTP/1.1\r\nHost: {host}\r\n\r\n",
	} {
		address := strings.TrimPrefix(e.url, "http://")
		conn, err := net.DialTimeout("tcp", address, testTimeout)
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(testTimeout))
		_, err = io.WriteString(conn, strings.ReplaceAll(request, "{host}", address))
		must(t, err)
		answer, _ := io.ReadAll(conn) // it ends when the server closes
		_ = conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || strings.Count(string(answer), "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %.600s", name, answer)
		}
	}
	e.noErrors()
}

func TestAttack_AServerBeyondLoopbackAnswersToItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	everywhere, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	_, port, _ := net.SplitHostPort(everywhere.Addr().String())
	e := start(t, withOptions(func(o *web.Options) {
		o.Listener, o.AllowedHosts = everywhere, []string{"lab.example", "other.example:" + port, "192.0.2.7", "[2001:db8::1]"}
	}))
	e.url = "http://127.0.0.1:" + port
	for host, want := range map[string]int{
		"localhost": 200, "127.0.0.1:" + port: 200, "[::1]:" + port: 200, "LOCALHOST:1": 200,
		"lab.example": 200, "lab.example:1234": 200, "LAB.example": 200, "other.example:" + port: 200, "192.0.2.7:80": 200, "[2001:db8::1]:80": 200,
		"other.example": 403, "other.example:1": 403, "evil.example": 403, "evil.example:" + port: 403, "lab.example.evil.example": 403, "lab.example.": 403,
		"0.0.0.0:" + port: 403, "192.0.2.8": 403, "localhost.evil.example": 403,
	} {
		if status, answer := e.ask("GET /api/sessions HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); status != want {
			t.Errorf("Host: %s: %d, not %d: %.200s", host, status, want, answer)
		}
		status, _ := e.ask("GET /ws HTTP/1.1\r\nHost: " + host + "\r\nOrigin: http://" + host + "\r\n" + upgradeHeaders + "\r\n")
		if (status == http.StatusSwitchingProtocols) != (want == 200) {
			t.Errorf("a WebSocket to %s: %d", host, status)
		}
	}
	// Whoever is not on this machine does not say who he is.
	ws, _, err := e.tryDial("", "X-Holdfast-User", "mallory")
	must(t, err)
	defer ws.Close()
	if hello := (&socket{ws, t}).until(wire.FrameConnected); strings.Contains(string(hello.Data), "mallory") {
		t.Errorf("the greeting is %s", hello.Data)
	}
}

func TestAttack_AServerBeyondLoopbackDoesNotStartWithoutItsNames(t *testing.T) {
	t.Parallel()
	temporal, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: logs.Discard()})
	must(t, err)
	defer temporal.Close()
	e := start(t)
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		server, err := web.New(web.Options{Addr: addr, Store: e.store, Temporal: temporal, Logger: logs.Discard()})
		if err == nil {
			_ = server.Close()
			t.Errorf("%s: it would serve any name", addr)
		}
	}
}

// TestAttack_PartsWithoutContentDoNotEscapeTheRate sends a message that never ends, of parts without content: no frame of
// it is ever whole, so none would count.
func TestAttack_PartsWithoutContentDoNotEscapeTheRate(t *testing.T) {
	t.Parallel()
	e := start(t)
	ws := e.dial("")
	raw := ws.NetConn()
	_, err := raw.Write([]byte{0x01, 0x80, 0, 0, 0, 0}) // a text that goes on
	must(t, err)
	go func() {
		part := []byte(strings.Repeat("\x00\x80\x00\x00\x00\x00", 1000))
		for range 1000 {
			if _, err := raw.Write(part); err != nil {
				return
			}
		}
	}()
	ws.closed(1008)
	// A large message in many parts is whole before that.
	parts := e.dial("")
	w, err := parts.NextWriter(1)
	must(t, err)
	for _, part := range []string{`{"type":"ping","request_id":"`, "parts", `"}` + strings.Repeat(" ", 60<<10)} {
		_, err = io.WriteString(w, part)
		must(t, err)
	}
	must(t, w.Close())
	if pong := parts.until(wire.FramePong); !strings.Contains(string(pong.Data), "parts") {
		t.Errorf("the answer is %s", pong.Data)
	}
	e.noErrors()
}

func TestAttack_FilesOfAWorkspaceAreNoPartOfAPage(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	dir := schema.WorkspaceDir(e.dir, s.ID)
	must(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"a.js", "b.mjs", "c.css", "d.wasm", "e.html", "f.xhtml", "g.svg", "h.xml", "i.JS"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("alert(1)"), 0o644))
		r := e.do("GET", "/api/sessions/"+s.ID+"/files/"+name, "")
		r.into(t, 200, nil)
		kind := r.Header.Get("Content-Type")
		for _, bad := range []string{"javascript", "css", "wasm"} {
			if strings.Contains(kind, bad) {
				t.Errorf("%s is served as %s", name, kind)
			}
		}
		if strings.Contains(kind, "html") && !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s is shown as %s", name, kind)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "sandbox") || r.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s: %v", name, r.Header)
		}
	}
}

func TestAttack_AReviewerIsNotShownWhatIsNoLongerThere(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	dir := schema.WorkspaceDir(e.dir, s.ID)
	must(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, "plan.txt")
	then := time.Now().Add(-time.Hour)
	write := func(text string) {
		must(t, os.WriteFile(file, []byte(text), 0o644))
		must(t, os.Chtimes(file, then, then)) // as a program may
	}
	read := func(etag string) reply {
		return e.do("GET", "/api/sessions/"+s.ID+"/files/plan.txt", "", "If-None-Match", etag)
	}
	write("harmless")
	if r := read("x"); r.Header.Get("ETag") != "" {
		t.Fatalf("a file that was changed just now has the version %s", r.Header.Get("ETag"))
	}
	var first reply
	testkit.Eventually(t, "the file has settled", func() bool { first = read("x"); return first.Header.Get("ETag") != "" })
	if r := read(first.Header.Get("ETag")); r.StatusCode != http.StatusNotModified {
		t.Fatalf("an unchanged file: %d", r.StatusCode)
	}
	write("rm -rf *")
	if r := read(first.Header.Get("ETag")); r.StatusCode != http.StatusOK || string(r.body) != "rm -rf *" {
		t.Fatalf("a file of the same size and time: %d %s", r.StatusCode, r.body)
	}
	testkit.Eventually(t, "it has settled again", func() bool {
		r := read(first.Header.Get("ETag"))
		return r.StatusCode == http.StatusOK && r.Header.Get("ETag") != ""
	})
}

func TestAttack_NamesInAnExportUnpackWhereTheyShould(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	dir := schema.WorkspaceDir(e.dir, s.ID)
	must(t, os.MkdirAll(dir, 0o755))
	names := []string{`..\..\evil.bat`, "..\x1b..\x1bevil.bat", "a\nb.txt", "a\rb.txt", "C:evil.exe", "\u202etxt.exe", `x\y`, "x_y", ".._.._evil.bat"}
	for _, name := range names {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	z, m := e.exported(s.ID)
	if m.Counts.Files != len(names) {
		t.Fatalf("%d files", m.Counts.Files)
	}
	seen := map[string]bool{}
	for _, f := range z.File {
		if seen[f.Name] || strings.ContainsAny(f.Name, "\\\x1b\n\r\u202e") || strings.Contains(f.Name, ":") {
			t.Errorf("an entry is called %q", f.Name)
		}
		seen[f.Name] = true
	}
	r := e.do("GET", "/api/sessions/"+s.ID+"/files/"+url.PathEscape(`..\..\evil.bat`)+"?download=1", "")
	if d := r.Header.Get("Content-Disposition"); strings.ContainsAny(d, "\\\x1b\n\r") || strings.Contains(d, "%5C") {
		t.Errorf("a browser is told %q", d)
	}
}
