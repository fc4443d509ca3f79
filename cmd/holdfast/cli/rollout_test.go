package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"

	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

func TestRollout_ShowsBuildsAndMovesSessionsBetweenThem(t *testing.T) {
	t.Parallel()
	address := embeddedtest.StartTestTemporal(t).Addr()
	rollout := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		var out, errs strings.Builder
		code = Run(t.Context(), append([]string{"rollout"}, args...), strings.NewReader(""), &out, &errs,
			[]string{"TEMPORAL_ADDRESS=" + address, "TEMPORAL_CONFIG_FILE=" + os.DevNull, "NO_COLOR=1", "HOLDFAST_LOG_LEVEL=error"})
		return code, out.String(), errs.String()
	}
	if code, out, errs := rollout(); code != exitOK || !strings.Contains(out, "unversioned  current  -      none") {
		t.Fatalf("nothing is there: %d %s%s", code, out, errs)
	}
	if code, _, errs := rollout("--build-id", "v1"); code != exitError || !strings.Contains(errs, `no worker of build "v1" is polling, so its sessions would stall; no worker of any build is`) {
		t.Fatalf("a build that nobody runs: %d %s", code, errs)
	}

	temporal, err := client.Dial(client.Options{HostPort: address, Identity: "worker@one", Logger: worker.TemporalLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- worker.Run(ctx, worker.Options{Store: storetest.New(t), Temporal: temporal, DataDir: t.TempDir(), Host: "one", Supervisor: os.Args[0], BuildID: "v1", Logger: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := testkit.Receive(t, "the end of the worker", done); err != nil {
			t.Errorf("worker: %v", err)
		}
		temporal.Close()
	})
	testkit.EventuallyRight(t, "a row of v1", func() string {
		_, out, errs := rollout()
		if !strings.Contains(out, "v1") || !strings.Contains(out, "worker@one") {
			return out + errs
		}
		return ""
	})

	code, out, errs := rollout("--build-id", "v1", "--percent", "12.5")
	if code != exitOK || !strings.Contains(out, "12.5% of the sessions go to v1 from now on, the others to unversioned.") || !strings.Contains(out, "ramping 12.5%") {
		t.Fatalf("ramp: %d %s%s", code, out, errs)
	}
	if code, out, errs := rollout("--build-id", "v1"); code != exitOK || !strings.Contains(out, "Sessions go to v1 from now on.") {
		t.Fatalf("rollout: %d %s%s", code, out, errs)
	}
	code, out, errs = rollout("--json")
	var d worker.Deployment
	if err := json.Unmarshal([]byte(out), &d); code != exitOK || err != nil || d.Current != "v1" || d.Ramping != "" || len(d.Builds) != 1 || d.Builds[0].Workers[0] != "worker@one" {
		t.Fatalf("--json: %d %v %s%s", code, err, out, errs)
	}
}

func TestRollout_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, env, want string
		code            int
	}{
		{"--percent 5", "", "--percent needs --build-id", exitUsage},
		{"", "TEMPORAL_ADDRESS=temporal", "the setting TEMPORAL_ADDRESS is", exitUsage},
		{"", "TEMPORAL_ADDRESS=127.0.0.1:1", "the Temporal at 127.0.0.1:1 does not answer", exitError},
	} {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"rollout"}, strings.Fields(c.args)...), strings.NewReader(""), &out, &errs,
			[]string{c.env, "TEMPORAL_CONFIG_FILE=" + os.DevNull})
		if code != c.code || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.args, c.env, code, errs.String())
		}
	}
}
