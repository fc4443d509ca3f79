package cli

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// stepServer speaks the protocol of a step's socket, and answers the nth question, from 1, as a
// test says.
type stepServer struct {
	path   string
	server *http.Server

	mu    sync.Mutex
	asked []schema.Question
}

type stepAnswer = map[string]any

func serveStep(t *testing.T, answer func(n int, q schema.Question, w http.ResponseWriter, r *http.Request)) *stepServer {
	t.Helper()
	s := &stepServer{path: filepath.Join(shortDir(t), "socket")}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ask", func(w http.ResponseWriter, r *http.Request) {
		var q schema.Question
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &q); err != nil || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, `{"error": "no JSON"}`, http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, q)
		n := len(s.asked)
		s.mu.Unlock()
		answer(n, q, w, r)
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	s.listen(t)
	t.Cleanup(func() { _ = s.server.Close() })
	return s
}

func (s *stepServer) listen(t *testing.T) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.server.Serve(l) }()
}

func (s *stepServer) questions() []schema.Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]schema.Question{}, s.asked...)
}

// shortDir is a folder whose path leaves room for a socket, whose path has at most 108 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ask")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func tell(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(schema.Marshal(answer))
}

func (s *stepServer) ask(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, []string{envSocket + "=" + s.path}, "", append([]string{"ask"}, args...)...)
}

func TestAsk_PrintsTheAnswerAloneAndEndsAsItWasDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer stepAnswer
		code   int
		out    string
		errOut string
	}{
		{stepAnswer{"outcome": "approved", "answer": "approved"}, 0, "approved\n", ""},
		{stepAnswer{"outcome": "approved", "answer": "fine, thank you", "feedback": "fine, thank you"}, 0, "fine, thank you\n", ""},
		{stepAnswer{"outcome": "rejected", "answer": "too\nred"}, 1, "too\nred\n", ""},
		{stepAnswer{"outcome": "timed_out", "answer": "timed_out"}, 2, "timed_out\n", ""},
		{stepAnswer{"outcome": "cancelled", "answer": "cancelled"}, 3, "", "holdfast: the question was withdrawn before anybody had answered\n"},
		{stepAnswer{"outcome": "maybe"}, 3, "", "holdfast: the step's socket gave the outcome \"maybe\"; known are approved, rejected, timed_out and cancelled\n"},
	} {
		s := serveStep(t, func(_ int, _ schema.Question, w http.ResponseWriter, _ *http.Request) {
			tell(w, http.StatusOK, c.answer)
		})
		if got := s.ask(t, "Go on?"); got != (result{c.code, c.out, c.errOut}) {
			t.Errorf("%v: %+v", c.answer, got)
		}
	}
}

func TestAsk_SendsWhatTheFlagsSayUnderOneName(t *testing.T) {
	t.Parallel()
	s := serveStep(t, func(_ int, _ schema.Question, w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, stepAnswer{"outcome": "approved", "answer": "a, b", "approval_id": otherID, "actor": "ada", "feedback": "a, b"})
	})
	file := filepath.Join(t.TempDir(), "fit.json")
	if err := os.WriteFile(file, []byte(`{"chi2": 1.5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := s.ask(t, "Which?", "--option", "a, b", "--option", "c", "--timeout", "90s", "--context", "@"+file, "--id", "which", "--json")
	got.want(t, 0)
	var answer stepAnswer
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || answer["actor"] != "ada" || strings.Count(got.out, "\n") != 1 {
		t.Errorf("printed %q", got.out)
	}
	s.ask(t, "Again?", "--context", `"a text"`).want(t, 0)
	s.ask(t, "Again?").want(t, 0)
	q := s.questions()
	if want := `{"id":"which","question":"Which?","options":["a, b","c"],"context":{"chi2":1.5},"timeout_seconds":90}`; string(schema.Marshal(q[0])) != want {
		t.Errorf("sent %s, want %s", schema.Marshal(q[0]), want)
	}
	if string(q[1].Context) != `"a text"` || !schema.ValidID(q[1].ID) || q[1].ID == q[2].ID {
		t.Errorf("sent %+v and %+v: each question has a name of its own", q[1], q[2])
	}
}

func TestAsk_SaysWhatIsWrongWithExitCode3(t *testing.T) {
	t.Parallel()
	s := serveStep(t, func(_ int, _ schema.Question, w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusBadRequest, stepAnswer{"error": "the step has 10 questions open already"})
	})
	run(t, nil, "", "ask", "Go on?").want(t, 3, "ask is for programs inside a step, where HOLDFAST_SOCKET names the step's socket; it is not set")
	s.ask(t, "Go on?").want(t, 3, "holdfast: the step has 10 questions open already\n")
	for _, c := range [][]string{
		{"", "a question has 1 to 2000 characters"}, {strings.Repeat("x", 2001), "a question has 1 to 2000 characters"},
		{"Q", "--timeout", "0s", "from 1s to 720h"}, {"Q", "--timeout", "soon", `"soon" is not a duration such as 90s`}, {"Q", "--context", "{", "not JSON"},
		{"Q", "--context", "@/nonexistent", "no such file"}, {"Q", "--context", `"` + strings.Repeat("x", 64<<10) + `"`, "at most 65536 bytes"},
		{"Q", "--context", `"` + strings.Repeat("<", 20<<10) + `"`, "at most 65536 are allowed"}, {"Q", "--option", strings.Repeat("x", 64<<10), "at most 65536 are allowed"},
		{"Q", "--id", strings.Repeat("x", 513), "at most 512 bytes"},
		{"Q", "--option", " ", "not empty"}, {"Q", "--option", "a", "--option", "a", "a text of its own"}, {"expected \"<question>\""}, {"Q", "--unknown", "unknown flag"},
	} {
		s.ask(t, c[:len(c)-1]...).want(t, 3, c[len(c)-1])
	}
	if n := len(s.questions()); n != 1 {
		t.Errorf("%d questions were sent, want only the one without a mistake", n)
	}
}

func TestAsk_AsksTheSameQuestionAgainWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	hijack := func(t *testing.T, w http.ResponseWriter, text string) {
		t.Helper()
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString(text)
		_ = buf.Flush()
		_ = conn.Close()
	}
	s := serveStep(t, func(n int, _ schema.Question, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 1:
			hijack(t, w, "")
		case 2:
			hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"outcome\": \"appro")
		case 3:
			tell(w, http.StatusServiceUnavailable, stepAnswer{"error": "no worker is there"})
		default:
			tell(w, http.StatusOK, stepAnswer{"outcome": "approved", "answer": "yes"})
		}
	})
	s.ask(t, "Go on?").want(t, 0, "yes")
	q := s.questions()
	if len(q) != 4 || q[0].ID == "" {
		t.Fatalf("asked %d times", len(q))
	}
	for i := range q {
		if string(schema.Marshal(q[i])) != string(schema.Marshal(q[0])) {
			t.Errorf("another question was asked: %+v, first %+v", q[i], q[0])
		}
	}
}

func TestAsk_WaitsForASocketThatComesBack(t *testing.T) {
	t.Parallel()
	s := serveStep(t, func(_ int, _ schema.Question, w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, stepAnswer{"outcome": "approved", "answer": "yes"})
	})
	_ = s.server.Close() // which removes the socket
	second := &stepServer{path: s.path, server: &http.Server{Handler: s.server.Handler, ReadHeaderTimeout: time.Minute}}
	t.Cleanup(func() { _ = second.server.Close() })
	time.AfterFunc(150*time.Millisecond, func() { second.listen(t) })
	s.ask(t, "Go on?").want(t, 0, "yes")
}

func TestAsk_EndsAtOnceOnWhatIsNotTheProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ response, want string }{
		{"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed HTTP"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "gave an invalid answer: hello"},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno\x1b[2J", "answered with status 404: no"},
		{"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", "answered with status 302"},
	} {
		path := filepath.Join(shortDir(t), "socket")
		l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 4096)
				_, _ = conn.Read(buf)
				_, _ = io.WriteString(conn, c.response)
				_ = conn.Close()
			}
		}()
		got := run(t, []string{envSocket + "=" + path}, "", "ask", "Go on?")
		got.want(t, 3, c.want)
		if strings.Contains(got.errOut, "\x1b") || strings.Count(got.errOut, "\n") != 1 {
			t.Errorf("%q is not one clean line", got.errOut)
		}
	}
}

func TestAsk_IsEndedByCtrlCWithExitCode3(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	s := serveStep(t, func(_ int, _ schema.Question, _ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	runContext(ctx, []string{envSocket + "=" + s.path}, "", "ask", "Go on?").want(t, 3, "interrupted before anybody had answered")
}

// roundTrip is a transport that does what a test says.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAsk_WaitsForDaysAndGivesUpHalfAMinuteAfterTheSocketHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		s := newStepSocket("unused")
		s.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			tries++
			if tries <= 3 { // the server is there for days, and restarts in between
				time.Sleep(48 * time.Hour)
			}
			return nil, io.EOF
		})
		_, err := s.ask(t.Context(), []byte(`{}`))
		took := time.Since(start) - 3*48*time.Hour
		if err == nil || !strings.Contains(err.Error(), "nobody could be asked for 3") || took < 30*time.Second || took > 35*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		if tries > 30 {
			t.Errorf("%d tries", tries)
		}
	})
}
