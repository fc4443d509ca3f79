package examples_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The programs of the plan "ask" speak to a step's socket without the holdfast binary. Here a
// server of the test's own is at the other end, which speaks the same protocol.
func TestAsk_ProgramsOfTheExampleActOnTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "ask.json")
	if out, code := r.step("fit", 1); code != 0 || !strings.Contains(out, "\rparabola: step 40 of 40") || !strings.Contains(out, "##holdfast progress=1.000 note=\"parabola, 40 of 40\"\n") {
		t.Fatalf("exit code %d, printed %q", code, out)
	}
	dir, err := os.MkdirTemp("", "ask") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	asked := make(chan map[string]any, 1)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var q map[string]any
		if err := json.NewDecoder(req.Body).Decode(&q); err != nil || req.Method != http.MethodPost || req.URL.Path != "/ask" {
			http.Error(w, `{"error": "no question"}`, http.StatusBadRequest)
			return
		}
		asked <- q
		_, _ = w.Write([]byte(<-answers))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })

	step := func(id, answer string) (map[string]any, string, int) {
		t.Helper()
		answers <- answer
		s, _ := r.plan.Step(id)
		command := s.Command()
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = r.dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "HOLDFAST_ATTEMPT=2", "HOLDFAST_SOCKET=" + socket}
		out, _ := cmd.CombinedOutput()
		select {
		case q := <-asked:
			return q, string(out), cmd.ProcessState.ExitCode()
		default:
			t.Fatalf("it asked nothing; it printed %q", out)
			return nil, "", 0
		}
	}
	q, out, code := step("choose", `{"outcome": "approved", "answer": "parabola"}`)
	if code != 0 || r.read("model.txt") != "parabola" || len(q["options"].([]any)) != 2 || q["context"].(map[string]any)["points"] != 101.0 {
		t.Errorf("asked %v, printed %q, exit code %d", q, out, code)
	}
	if _, out, code = step("choose", `{"outcome": "rejected", "answer": "rejected"}`); code != 1 || !strings.Contains(out, "no model was chosen") {
		t.Errorf("exit code %d, printed %q", code, out)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	if q, out, code = step("publish", `{"outcome":"rejected","answer":"not yet"}`); code != 1 || q["id"] != "publish-2" {
		t.Errorf("asked %v, printed %q, exit code %d", q, out, code)
	}
	if _, out, code = step("publish", `{"outcome":"approved","answer":"approved"}`); code != 0 || r.read("published/model.txt") != "parabola" {
		t.Errorf("printed %q, exit code %d", out, code)
	}
}

func TestDocs_ShowTheProgramsAsTheyAre(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/steps.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, fence := range map[string]string{"ask.py": "```python\n", "ask.sh": "```sh\n"} {
		text, err := os.ReadFile(filepath.Join("src", "ask", name))
		if err != nil || !strings.Contains(string(page), fence+string(text)+"```\n") {
			t.Errorf("docs/steps.md does not show src/ask/%s as it is (%v)", name, err)
		}
	}
}
