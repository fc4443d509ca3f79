package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

const patience = testkit.Patience

// installation is a database, a Temporal, and the program's own web and worker on them, each
// run in-process.
type installation struct {
	t    *testing.T
	env  []string
	url  string
	stop map[string]func()
}

func install(t *testing.T) *installation {
	t.Helper()
	_, dsn := storetest.NewDSN(t)
	temporal := embeddedtest.StartTestTemporal(t)
	addr := testkit.FreeAddr(t)
	in := &installation{t: t, url: "http://" + addr, stop: map[string]func(){}}
	in.env = []string{
		"HOLDFAST_DATABASE_URL=" + dsn, "TEMPORAL_ADDRESS=" + temporal.Addr(), "HOLDFAST_DATA_DIR=" + t.TempDir(),
		"HOLDFAST_ADDR=" + addr, "HOLDFAST_URL=" + in.url, "HOLDFAST_LOG_LEVEL=warn",
	}
	in.start("worker")
	in.start("web")
	t.Cleanup(func() {
		for _, stop := range in.stop {
			stop()
		}
	})
	in.ready()
	return in
}

func (in *installation) start(command string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan result, 1)
	go func() { done <- runContext(ctx, in.env, "", command) }()
	in.stop[command] = sync.OnceFunc(func() {
		cancel()
		if r := testkit.Receive(in.t, "the end of holdfast "+command, done); r.code != exitOK {
			in.t.Errorf("%s: exit code %d: %s", command, r.code, r.errOut)
		}
	})
}

func (in *installation) ready() {
	in.t.Helper()
	testkit.EventuallyRight(in.t, "a server that is ready", func() string {
		resp, err := http.Get(in.url + "/api/ready")
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
}

func (in *installation) run(stdin string, args ...string) result {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), patience)
	defer cancel()
	return runContext(ctx, in.env, stdin, args...)
}

// begin starts a session and returns its id.
func (in *installation) begin(plan string, args ...string) string {
	in.t.Helper()
	r := in.run(plan, append([]string{"session", "start", "--plan", "-", "--json"}, args...)...)
	r.want(in.t, exitOK)
	var s schema.Session
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		in.t.Fatalf("%v: %s", err, r.out)
	}
	return s.ID
}

type approvals struct {
	Approvals []schema.Approval `json:"approvals"`
}

// asked waits for a session's pending approval and returns it.
func (in *installation) asked(session string) string {
	in.t.Helper()
	var list approvals
	testkit.EventuallyRight(in.t, "an approval", func() string {
		list = approvals{}
		r := in.run("", "approval", "list", "--session", session, "--json")
		if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list.Approvals) != 1 {
			return r.out + r.errOut
		}
		return ""
	})
	return list.Approvals[0].ID
}

const (
	asking1 = `{"steps": [{"id": "make", "shell": "echo made; seq 1 500 | sed s/^/line-/"}, {"id": "publish", "title": "Publish", "shell": "echo published", "needs": ["make"], "approval": true}]}`
	quick1  = `{"steps": [{"id": "only", "shell": "echo hello"}]}`
)

func TestSession_IsStartedWatchedAndApprovedThroughOneCommand(t *testing.T) {
	t.Parallel()
	in := install(t)

	r := in.run("approve looks right\n", "session", "start", "--plan", writeFile(t, "survey.json", asking1), "--watch")
	r.want(t, exitOK, "▶ run 1", "● make", "made\nline-1\n", "line-500\n", `? Run "Publish": echo published`, "Approve? [a]pprove / [r]eject",
		"! approved by", ": looks right", "published\n", "✓ completed")
	id := regexp.MustCompile(`session ([0-9a-f-]{36})\n` + regexp.QuoteMeta(in.url) + `/sessions/([0-9a-f-]{36})\n`).FindStringSubmatch(r.out)
	if id == nil || id[1] != id[2] {
		t.Fatalf("no id and URL in %s", r.out)
	}

	r = in.run("reject because of the units\n", "session", "start", "--plan", "-", "--watch")
	if r.code != exitUsage {
		t.Errorf("an answer is no plan: exit code %d", r.code)
	}
	r = in.run("reject because of the units\n", "session", "start", "--plan", writeFile(t, "p.json", asking1), "--watch")
	r.want(t, exitError, "! rejected by", "because of the units", "✗ failed")

	in.run("", "session", "list").want(t, exitOK, "ID", "survey", "completed", "failed")
	in.run("", "session", "show", id[1][:6]).want(t, exitOK, "survey", "run 1  completed", "make", "publish", "succeeded", in.url+"/sessions/"+id[1])
	in.run("", "session", "show", "zzzz").want(t, exitUsage, `"zzzz" is not the id of a session`)
	in.run("", "approval", "list").want(t, exitOK, "Nothing waits for a decision.")
	in.run("", "approval", "list", "--status", "all").want(t, exitOK, "approved", "rejected")

	// With --json it prints the server's answer, byte for byte.
	resp, err := http.Get(in.url + "/api/sessions/" + id[1])
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if got := in.run("", "session", "show", id[1], "--json").out; strings.TrimSpace(got) != strings.TrimSpace(string(body)) {
		t.Errorf("--json is\n%s\nthe server said\n%s", got, body)
	}

	// The documentation's program sees the same log.
	if python, err := exec.LookPath("python3"); err == nil {
		cmd := exec.CommandContext(t.Context(), python, "../../../docs/follow.py", id[1])
		cmd.Env = []string{"PORT=" + in.url[strings.LastIndexByte(in.url, ':')+1:]}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "1 workflow_started") || !strings.Contains(string(out), " workflow_completed ") {
			t.Errorf("%v: %s", err, out)
		}
	}

	// Frames one per line, each seq once, from the middle too.
	for _, since := range []int64{0, 4} {
		next := since + 1
		frames := in.run("", "session", "watch", id[1], "--json", "--since", strconv.FormatInt(since, 10))
		frames.want(t, exitOK)
		for line := range strings.Lines(frames.out) {
			var e schema.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != next {
				t.Fatalf("want seq %d: %v: %s", next, err, line)
			}
			next++
		}
	}
}

func TestApproval_IsDecidedOnceWhoeverIsFirst(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(asking1, "--name", "to decide", "--approval-timeout", "5m")
	approval := in.asked(id)

	in.run("", "approval", "show", approval[:8]).want(t, exitOK, "Publish", "pending", "approved, rejected", "echo published")
	in.run("", "session", "show", id).want(t, exitOK, "? approval "+approval[:8], "holdfast approval resolve")
	in.run("", "approval", "resolve", approval, "retry").want(t, exitUsage, "allowed are approved, rejected")
	in.run("", "approval", "resolve", approval[:4], "approved", "--feedback", "fine").want(t, exitOK, "approval "+approval[:8]+" approved")
	in.run("", "session", "watch", id).want(t, exitOK, "! approved by", "fine", "✓ completed")
	in.run("", "approval", "resolve", approval, "approved").want(t, exitOK)
	in.run("", "approval", "resolve", approval, "rejected").want(t, exitError, "already resolved: approved")

	late := in.begin(asking1, "--approval-timeout", "1s", "--on-timeout", "reject")
	in.run("", "session", "watch", late).want(t, exitError, "expired", "✗ failed")
	var list approvals
	if err := json.Unmarshal([]byte(in.run("", "approval", "list", "--session", late, "--status", "all", "--json").out), &list); err != nil || len(list.Approvals) != 1 {
		t.Fatalf("%v: %+v", err, list)
	}
	in.run("", "approval", "resolve", list.Approvals[0].ID, "approved").want(t, exitError, "the approval expired")
}

func TestWatch_AnotherViewerDecidesFirst(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(asking1)
	stdin, person := io.Pipe() // somebody who does not answer
	defer person.Close()
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(t.Context(), []string{"session", "watch", id, "--ask"}, stdin, screen, screen, in.env)
	}()
	screen.Await(t, "Approve? [a]pprove")
	in.run("", "approval", "resolve", in.asked(id), "approved").want(t, exitOK)
	if code := exitOf(t, done, screen); code != exitOK {
		t.Errorf("exit code %d: %s", code, screen)
	}
	screen.Await(t, "no answer is needed now")
	screen.Await(t, "✓ completed")
}

func TestSession_IsSuspendedResumedCancelledAndDeleted(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(`{"steps": [{"id": "long", "shell": "echo up; sleep 300"}]}`)
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(t.Context(), []string{"session", "watch", id}, strings.NewReader(""), screen, screen, in.env)
	}()
	screen.Await(t, "up\n")
	in.run("", "session", "suspend", id[:8]).want(t, exitOK, "session "+id[:8]+" suspended")
	screen.Await(t, "‖ suspended by")
	in.run("", "session", "resume", id[:8]).want(t, exitOK, "resumed")
	screen.Await(t, "▶ resumed by")
	in.run("", "session", "cancel", id[:8]).want(t, exitOK, "cancelled", "0 left")
	if code := exitOf(t, done, screen); code != exitCancelled {
		t.Errorf("exit code %d, want %d: %s", code, exitCancelled, screen)
	}
	in.run("", "session", "resume", id).want(t, exitError, "cannot resume")
	in.run("", "session", "delete", id).want(t, exitUsage, "--yes")
	in.run("", "session", "delete", id, "--yes").want(t, exitOK, "deleted")
	in.run("", "session", "show", id).want(t, exitError, "there is no session")
	in.run("", "session", "show", id[:8]).want(t, exitError, `there is no session whose id starts with "`+id[:8]+`"`)
	in.run("", "session", "watch", id).want(t, exitUndecided, "there is no session")
}

func TestWatch_SurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	in := install(t)
	const lines = 300
	id := in.begin(fmt.Sprintf(`{"steps": [{"id": "count", "run": ["sh", "-c", "i=1; while [ $i -le %d ]; do echo n-$i; i=$((i+1)); sleep 0.01; done"]}]}`, lines))
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(t.Context(), []string{"session", "watch", id}, strings.NewReader(""), screen, screen, in.env)
	}()
	screen.Await(t, "n-20\n")
	in.stop["web"]()
	screen.Await(t, "trying again in")
	in.start("web")
	if code := exitOf(t, done, screen); code != exitOK {
		t.Fatalf("exit code %d: %s", code, screen)
	}
	var got []string
	for line := range strings.Lines(screen.String()) {
		if strings.HasPrefix(line, "n-") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	for i, line := range got {
		if line != fmt.Sprintf("n-%d", i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if len(got) != lines {
		t.Errorf("%d lines, want %d", len(got), lines)
	}
	screen.Await(t, "connected again")
}

func TestStart_WaitsForAServerThatIsJustStarting(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.stop["web"]()
	path := writeFile(t, "quick.json", quick1)
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(t.Context(), []string{"session", "start", "--plan", path, "--watch"}, strings.NewReader(""), screen, screen, in.env)
	}()
	screen.Await(t, "trying again for")
	in.start("web")
	if code := exitOf(t, done, screen); code != exitOK {
		t.Errorf("exit code %d: %s", code, screen)
	}
	if n := strings.Count(in.run("", "session", "list").out, "quick"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

func TestWatch_CtrlCLeavesTheSessionAlone(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(`{"steps": [{"id": "long", "shell": "echo up; sleep 300"}]}`)
	ctx, cancel := context.WithCancel(t.Context())
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"session", "watch", id}, strings.NewReader(""), screen, screen, in.env)
	}()
	screen.Await(t, "up\n")
	cancel()
	if code := exitOf(t, done, screen); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	screen.Await(t, "The session goes on; follow it again with `holdfast session watch "+id[:8]+" --since ")
	in.run("", "session", "show", id).want(t, exitOK, "active")
	in.run("", "session", "cancel", id).want(t, exitOK)
}

func TestMigrate_UpStatusAndDown(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	env := []string{"HOLDFAST_DATABASE_URL=" + dsn}
	run(t, env, "", "migrate", "up").want(t, exitOK, "nothing applied")
	run(t, env, "", "migrate", "down", "--yes").want(t, exitOK, "undone ")
	run(t, env, "", "migrate", "status").want(t, exitOK, "MIGRATION", "no")
	run(t, env, "", "migrate", "up").want(t, exitOK, "applied ")
	run(t, env, "", "migrate", "status", "--json").want(t, exitOK, `"applied_at"`)
	run(t, []string{"HOLDFAST_DATABASE_URL=postgres://x@127.0.0.1:1/x"}, "", "migrate", "status").want(t, exitError, "holdfast: ")
}

func TestGC_SaysWhatIsKeptAndWhatWouldGo(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	dir := t.TempDir()
	env := []string{"HOLDFAST_DATABASE_URL=" + dsn, "HOLDFAST_DATA_DIR=" + dir}
	id := schema.NewID()
	folder := schema.WorkspaceDir(dir, id)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "f"), make([]byte, 60_000), 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, dsn, `INSERT INTO sessions (id, name, mode, owner, deleted_at, workflow_closed_at) VALUES ($1, 's', 'runbook', 'ann', now() - interval '1 hour', now() - interval '1 hour')`, id)
	run(t, env, "", "gc", "--dry-run").want(t, exitOK, "would free 1 of deleted sessions, 6", "kept 0, 0 B")
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
	run(t, env, "", "gc", "--json").want(t, exitOK, `"sessions_freed":1`, `"dry_run":false`, `"blobs_kept":0`)
	if _, err := os.Stat(folder); err == nil {
		t.Error("the folder is still there")
	}
	storetest.Exec(t, dsn, `UPDATE sessions SET deleted_at = now(), workflow_closed_at = now()`)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, env, "", "gc").want(t, exitOK, "freed 0 of deleted sessions, 0 B; kept 1 (1 of them deleted, and free to go with --grace 0s)")
	run(t, env, "", "gc", "--grace", "0s").want(t, exitOK, "freed 1 of deleted sessions, 0 B; kept 0, 0 B")
	run(t, []string{"HOLDFAST_DATA_DIR=" + dir}, "", "gc").want(t, exitUsage, "no holdfast up runs with the data folder")
}

func TestMigrate_AnOlderReleaseRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	env := []string{"HOLDFAST_DATABASE_URL=" + dsn, "HOLDFAST_DATA_DIR=" + t.TempDir(), "TEMPORAL_ADDRESS=127.0.0.1:1", "HOLDFAST_ADDR=127.0.0.1:0"}
	storetest.Exec(t, dsn, `INSERT INTO bun_migrations (name, group_id) VALUES ('0999', 2)`)
	storetest.Exec(t, dsn, `INSERT INTO migration_marks (name, title, release, older_releases) VALUES ('0999', 'shinier', 'v9', 'stop')`)
	run(t, env, "", "migrate", "down", "--yes").want(t, exitError, "0999_shinier (of release v9)", "nothing was undone")
	run(t, env, "", "migrate", "status").want(t, exitOK, "0999_shinier", "unknown to this release: v9 applied it")
	for _, command := range []string{"worker", "web"} {
		run(t, env, "", command).want(t, exitError, "a newer release has migrated the database", "0999_shinier (of release v9)")
	}
	run(t, env, "", "migrate", "up").want(t, exitError, "a newer release has migrated the database")
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
