package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/snapshot/clouds"
)

// result is what a command printed, and its exit code.
type result struct {
	code        int
	out, errOut string
}

// run runs the program in-process, without a terminal.
func run(t *testing.T, env []string, stdin string, args ...string) result {
	t.Helper()
	return runContext(t.Context(), env, stdin, args...)
}

func runContext(ctx context.Context, env []string, stdin string, args ...string) result {
	var out, errOut bytes.Buffer
	base := []string{"HOME=/nonexistent", "TEMPORAL_CONFIG_FILE=/nonexistent/temporal.toml"}
	code := Run(ctx, args, strings.NewReader(stdin), &out, &errOut, append(base, env...))
	return result{code, out.String(), errOut.String()}
}

// exitOf waits for the exit code of a command, and says what it has printed if it does not end.
func exitOf(t *testing.T, done <-chan int, screen *testkit.Screen) int {
	t.Helper()
	select {
	case code := <-done:
		return code
	case <-time.After(testkit.Patience):
		t.Fatalf("the command does not end; it has printed:\n%s", screen)
		return 0
	}
}

func (r result) want(t *testing.T, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.errOut)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.errOut, part) {
			t.Errorf("%q is missing\nstdout: %s\nstderr: %s", part, r.out, r.errOut)
		}
	}
}

func TestHelp_OfEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{}, kong.Vars{"default_url": settings.DefaultURL, "default_addr": settings.DefaultAddr})
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 15 {
		t.Errorf("%d commands", len(leaves))
	}
	for _, leaf := range leaves {
		command, _, _ := strings.Cut(leaf.Path(), " <")
		if leaf.Help == "" || !strings.Contains(leaf.Detail, "Example") || !strings.Contains(leaf.Detail, "holdfast "+command) {
			t.Errorf("%s: help %q, detail %q", leaf.Path(), leaf.Help, leaf.Detail)
		}
	}
}

func TestRun_WrongUsageEndsWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"fly"}, {"session"}, {"session", "start"}, {"session", "list", "--limit", "x"}, {"session", "show"}, {"approval", "list", "--status", "odd"},
		{"session", "list", "--status", "bogus"}, {"session", "list", "--status", "active,bogus"}, {"session", "list", "--limit", "0"},
		{"rollout", "--build-id", "v2", "--percent", "150"}, {"rollout", "--build-id", "v2", "--percent", "-1"}, {"rollout", "--build-id", "v2", "--percent", "NaN"},
		{"session", "start", "--plan", "p", "--run-timeout", "3 days"}, {"session", "export", scriptedID, "-o", "-", "--json"}, {"session", "export", scriptedID, "-o", "/dev/null"},
		{"approval", "resolve", "abcd1234", "perhaps"}, {"session", "watch", "abcd", "--since", "-1"}, {"migrate", "down"},
		{"up", "--temporal-ui-port", "70000"}, {"session", "start", "--plan", "/no/such/file"},
	} {
		r := run(t, []string{"HOLDFAST_URL=http://127.0.0.1:1", "HOLDFAST_DATABASE_URL=postgres://x@127.0.0.1:1/x"}, "", args...)
		if r.code != exitUsage || !strings.HasPrefix(r.errOut, "holdfast: ") || r.out != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, r.code, r.out, r.errOut)
		}
	}
	run(t, nil, "").want(t, exitOK, "Usage: holdfast <command>")
	run(t, nil, "", "session", "start", "--help").want(t, exitOK, "holdfast session start --plan examples/hello.json --watch")
}

func TestRun_ABadSettingStopsTheStartWithOneLine(t *testing.T) {
	t.Parallel()
	db := "HOLDFAST_DATABASE_URL=postgres://x@127.0.0.1:1/x"
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{[]string{db, "HOLDFAST_MAX_CONNECTIONS=abc"}, []string{"web"}, `the setting HOLDFAST_MAX_CONNECTIONS is "abc"; allowed is a whole number from 1 to 1000000`},
		{nil, []string{"worker"}, `the setting HOLDFAST_DATABASE_URL is missing`},
		{nil, []string{"migrate", "up"}, `the setting HOLDFAST_DATABASE_URL is missing`},
		{[]string{"HOLDFAST_APPROVAL_TIMEOUT=0"}, []string{"up"}, `the setting HOLDFAST_APPROVAL_TIMEOUT is "0"`},
		{nil, []string{"up", "--addr", "nonsense"}, `the setting HOLDFAST_ADDR is "nonsense"`},
		{[]string{"HOLDFAST_URL=localhost"}, []string{"session", "list"}, `the setting HOLDFAST_URL is "localhost"`},
	} {
		r := run(t, c.env, "", c.args...)
		r.want(t, exitUsage, c.want)
		if strings.Count(r.errOut, "\n") != 1 {
			t.Errorf("%v: more than one line: %q", c.args, r.errOut)
		}
	}
}

func TestRun_RefusesAStoreThatThisBuildCannotReach(t *testing.T) {
	t.Parallel()
	if clouds.Included {
		t.Skip("this build reaches them all")
	}
	env := []string{"HOLDFAST_DATABASE_URL=postgres://x@127.0.0.1:1/x", "HOLDFAST_BLOB_URL=s3://bucket"}
	for _, command := range []string{"up", "web", "worker", "gc", "config"} {
		run(t, env, "", command).want(t, exitUsage, `the setting HOLDFAST_BLOB_URL is "s3://bucket"`, "this build lacks the drivers for s3://", "holdfast-clouds")
	}
}

func TestRun_SaysThatNoServerIsThere(t *testing.T) {
	t.Parallel()
	r := run(t, nil, "", "session", "list", "--server", "http://127.0.0.1:1")
	r.want(t, exitError, "cannot reach Holdfast at http://127.0.0.1:1; is it running? start it with `holdfast up`")
}

func TestConfig_PrintsEverySettingWithItsSource(t *testing.T) {
	t.Parallel()
	env := []string{"HOLDFAST_DATABASE_URL=postgres://me:hush@db/x", "HOLDFAST_LOG_LEVEL=debug"}
	r := run(t, env, "", "config")
	r.want(t, exitOK, "HOLDFAST_ADDR", "postgres://me:xxxxx@db/x", "environment", "default", "TEMPORAL_ADDRESS", "ISOLATION OF STEPS", "landlock", "cgroup_memory")
	r = run(t, env, "", "config", "--json")
	var answer struct {
		Settings  []settings.Setting `json:"settings"`
		Isolation []sandbox.Status   `json:"isolation"`
	}
	if err := json.Unmarshal([]byte(r.out), &answer); err != nil || len(answer.Settings) < 20 || len(answer.Isolation) != len(sandbox.Layers()) {
		t.Errorf("%v: %s", err, r.out)
	}
	run(t, []string{"HOLDFAST_LOG_LEVEL=loud"}, "", "config").want(t, exitUsage, `the setting HOLDFAST_LOG_LEVEL is "loud"`)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	run(t, nil, "", "version").want(t, exitOK, "holdfast ", "go1")
	var v versionInfo
	if err := json.Unmarshal([]byte(run(t, nil, "", "version", "--json").out), &v); err != nil || v.Go == "" {
		t.Errorf("%v, %+v", err, v)
	}
}

func TestSessionStart_PrintsWhatIsWrongWithAPlanByLineAndColumn(t *testing.T) {
	t.Parallel()
	plan := "{\"steps\": [\n  {\"id\": \"a\", \"shell\": \"true\"},\n  {\"id\": \"a\", \"needs\": [\"b\"], \"run\": [\"x\"]}\n]}\n"
	path := writeFile(t, "plan.json", plan)
	r := run(t, nil, "", "session", "start", "--plan", path, "--server", "http://127.0.0.1:1")
	r.want(t, exitUsage,
		path+`:3:10: steps[1].id: the step id "a" is already used by steps[0]`,
		path+`:3:25: steps[1].needs[0]: there is no step "b"`,
		"holdfast: the plan has 2 problems; nothing was started")
	r = run(t, nil, `{"steps": [`, "session", "start", "--plan", "-")
	r.want(t, exitUsage, "<stdin>:1:12: this is not JSON")
	r = run(t, nil, `{"steps": [{"id": "a", "task": "x", "agent": "researcher"}]}`, "session", "start", "--plan", "-")
	r.want(t, exitUsage, "<stdin>:1:46: steps[0].agent: this server has no agent provider")
	r = run(t, nil, "", "session", "start", "--plan", path, "--approval-mode", "sometimes")
	r.want(t, exitUsage, "--approval-mode: allowed are none, after_planning")
	r = run(t, nil, "", "session", "start", "--plan", t.TempDir())
	r.want(t, exitUsage, "is a folder")
}

func TestReference_IsWhatHelpSays(t *testing.T) {
	t.Setenv("COLUMNS", "")
	var b bytes.Buffer
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile("../../../docs/cli-reference.md"); !bytes.Equal(got, b.Bytes()) {
		t.Error("docs/cli-reference.md is not current; run go generate ./cmd/holdfast/cli")
	}
}
