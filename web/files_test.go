package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// workspace fills a session's workspace, and puts a secret beside it.
func (e *env) workspace(id string) string {
	e.Helper()
	dir := schema.WorkspaceDir(e.dir, id)
	must(e, os.MkdirAll(filepath.Join(dir, "out", "deep"), 0o755))
	must(e, os.MkdirAll(filepath.Join(dir, ".cache"), 0o755))
	for name, text := range map[string]string{
		"result.txt": "0123456789", "out/plot.svg": `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "page.html": "<script>alert(1)</script>",
		"out/deep/data.csv": "a,b\n", "empty": "", ".cache/x": "x", "a b ü%.txt": "odd",
	} {
		must(e, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	secret := filepath.Join(e.dir, "secret.txt")
	must(e, os.WriteFile(secret, []byte("TOP SECRET"), 0o600))
	must(e, os.Symlink(secret, filepath.Join(dir, "absolute.txt")))
	must(e, os.Symlink("../../secret.txt", filepath.Join(dir, "relative.txt")))
	must(e, os.Symlink(e.dir, filepath.Join(dir, "updir")))
	must(e, os.Symlink("result.txt", filepath.Join(dir, "inside.txt")))
	must(e, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	return "/api/sessions/" + id + "/files"
}

func TestFiles_ListShowsTheWorkspaceAndNothingElse(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	var list wire.FileList
	e.do("GET", "/api/sessions/"+s.ID+"/files", "").into(t, 200, &list)
	if list.Files == nil || len(list.Files) != 0 {
		t.Fatalf("before the first step: %+v", list)
	}
	path := e.workspace(s.ID)
	e.do("GET", path, "").into(t, 200, &list)
	var names []string
	for _, f := range list.Files {
		names = append(names, f.Path)
	}
	if got := strings.Join(names, " "); got != "a b ü%.txt empty inside.txt out/deep/data.csv out/plot.svg page.html result.txt" {
		t.Fatalf("the files are %s", got)
	}
	if f := list.Files[4]; f.MediaType != "image/svg+xml" || f.Size != 71 && f.Size == 0 || f.ModifiedAt.IsZero() {
		t.Fatalf("the figure is %+v", f)
	}
	e.noErrors()
}

func TestFiles_DownloadsWholeAndInParts(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	path := e.workspace(s.ID)
	for _, c := range []struct {
		header, want, contentRange string
		status                     int
	}{
		{"", "0123456789", "", 200},
		{"bytes=0-3", "0123", "bytes 0-3/10", 206},
		{"bytes=7-", "789", "bytes 7-9/10", 206},
		{"bytes=-2", "89", "bytes 8-9/10", 206},
		{"bytes=-100", "0123456789", "bytes 0-9/10", 206},
		{"bytes=5-999", "56789", "bytes 5-9/10", 206},
		{"bytes=9-9", "9", "bytes 9-9/10", 206},
		{"bytes=0-1,3-4", "0123456789", "", 200},
		{"bytes=x", "0123456789", "", 200},
		{"lines=0-1", "0123456789", "", 200},
		{"bytes=4-2", "0123456789", "", 200},
	} {
		var header []string
		if c.header != "" {
			header = []string{"Range", c.header}
		}
		r := e.do("GET", path+"/result.txt?v=3", "", header...)
		if r.StatusCode != c.status || string(r.body) != c.want || r.Header.Get("Content-Range") != c.contentRange || r.Header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("%s: %d %q %v", c.header, r.StatusCode, r.body, r.Header)
		}
	}
	for _, outside := range []string{"bytes=10-", "bytes=-0", "bytes=99-100"} {
		r := e.do("GET", path+"/result.txt", "", "Range", outside)
		r.problem(t, 416, schema.CodeInvalid)
		if r.Header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%s: %v", outside, r.Header)
		}
	}
	r := e.do("GET", path+"/result.txt", "")
	testkit.Eventually(t, "the file has settled", func() bool {
		r = e.do("GET", path+"/result.txt", "")
		return r.Header.Get("ETag") != ""
	})
	again := e.do("GET", path+"/result.txt", "", "If-None-Match", r.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("unchanged: %d", again.StatusCode)
	}
	if stale := e.do("GET", path+"/result.txt", "", "Range", "bytes=0-1", "If-Range", `"old"`); stale.StatusCode != http.StatusOK {
		t.Errorf("a part of another version: %d", stale.StatusCode)
	}
	head := e.do("HEAD", path+"/result.txt", "")
	if head.StatusCode != http.StatusOK || head.ContentLength != 10 {
		t.Errorf("HEAD: %d %d", head.StatusCode, head.ContentLength)
	}
	if empty := e.do("GET", path+"/empty", ""); empty.StatusCode != http.StatusOK || len(empty.body) != 0 {
		t.Errorf("an empty file: %d", empty.StatusCode)
	}
	if odd := e.do("GET", path+"/a%20b%20%C3%BC%25.txt", ""); string(odd.body) != "odd" {
		t.Errorf("an odd name: %d %s", odd.StatusCode, odd.body)
	}
	deep := strings.Repeat(strings.Repeat("ü", 125)+"/", 13) + "f" // takes some 10 KiB in an address
	file := filepath.Join(schema.WorkspaceDir(e.dir, s.ID), deep)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte("deep"), 0o600))
	if got := e.do("GET", path+"/"+strings.ReplaceAll(url.PathEscape(deep), "%2F", "/"), ""); string(got.body) != "deep" {
		t.Errorf("a deep file: %d %s", got.StatusCode, got.body)
	}
	if link := e.do("GET", path+"/inside.txt", ""); string(link.body) != "0123456789" {
		t.Errorf("a link within: %d", link.StatusCode)
	}
	e.noErrors()
}

func TestFiles_ABigOneArrivesWhole(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	path := e.workspace(s.ID)
	const size = 30 << 20
	must(t, os.Truncate(filepath.Join(schema.WorkspaceDir(e.dir, s.ID), "empty"), size))
	if r := e.do("GET", path+"/empty", ""); len(r.body) != size {
		t.Fatalf("%d bytes", len(r.body))
	}
}

func TestFiles_AHostileOneCannotRunAsAPageOfOurs(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	path := e.workspace(s.ID)
	for name, disposition := range map[string]string{"out/plot.svg": "inline", "page.html": "attachment", "result.txt": "inline", "empty": "attachment"} {
		r := e.do("GET", path+"/"+name, "")
		if !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "sandbox;") || r.Header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(r.Header.Get("Content-Disposition"), disposition+";") {
			t.Errorf("%s: %v", name, r.Header)
		}
	}
	if r := e.do("GET", path+"/out/plot.svg?download=1", ""); !strings.HasPrefix(r.Header.Get("Content-Disposition"), `attachment; filename="plot.svg"`) {
		t.Errorf("download: %v", r.Header)
	}
}

func TestFiles_NothingOutsideOfTheWorkspaceIsReached(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	path := e.workspace(s.ID)
	for _, name := range []string{
		"../../secret.txt", "%2e%2e/%2e%2e/secret.txt", "..%2f..%2fsecret.txt", "%2e%2e%2f%2e%2e%2fsecret.txt", "%252e%252e%252fsecret.txt",
		"out/../../../secret.txt", "out/%2e%2e/%2e%2e/%2e%2e/secret.txt", "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "..\\..\\secret.txt", "..%5c..%5csecret.txt",
		"absolute.txt", "relative.txt", "updir/secret.txt", "updir", "out", "out/", ".", "..", "", "%00", "result.txt%00.svg", "pipe", "result.txt/x", "%ff", "%zz",
		strings.Repeat("a/", 600) + "x",
	} {
		// By hand: a client of Go cleans paths before it sends them.
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(testTimeout))
		_, err = fmt.Fprintf(conn, "GET %s/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path, name)
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		_ = conn.Close()
		if strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "root:") {
			t.Errorf("%s: reached what is outside: %s", name, text)
		}
		listing := name == "" && resp.StatusCode == http.StatusOK // .../files/ is the list
		page := strings.Contains(string(text), "<!doctype html>")
		if resp.StatusCode != http.StatusNotFound && !listing && !page {
			t.Errorf("%s: %d %.200s", name, resp.StatusCode, text)
		}
	}
	e.noErrors()
}
