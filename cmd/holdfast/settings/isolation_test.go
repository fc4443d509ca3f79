package settings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
)

func TestLoadWorker_Sandbox(t *testing.T) {
	t.Parallel()
	for entries, want := range map[string]settings.Isolation{
		"":                          {Sandbox: sandbox.Isolated},
		"HOLDFAST_SANDBOX=Required": {Sandbox: sandbox.Required},
		"HOLDFAST_SANDBOX=weakened": {Sandbox: sandbox.Weakened},
		"HOLDFAST_SANDBOX=off":      {Sandbox: sandbox.Off},
		"HOLDFAST_SANDBOX_PATHS=/data/, /data,,/dev/nvidia0": {Sandbox: sandbox.Isolated, SandboxPaths: []string{"/data", "/dev/nvidia0"}},
	} {
		w, err := settings.LoadWorker(env(t, database, entries))
		if err != nil {
			t.Fatal(err)
		}
		if w.Sandbox != want.Sandbox || !slices.Equal(w.SandboxPaths, want.SandboxPaths) {
			t.Errorf("%q: got %+v, want %+v", entries, w.Isolation, want)
		}
	}
	for entry, want := range map[string]string{
		"HOLDFAST_SANDBOX=on":           `the setting HOLDFAST_SANDBOX is "on"; allowed is required, isolated, weakened or off`,
		"HOLDFAST_SANDBOX_PATHS=data":   `the setting HOLDFAST_SANDBOX_PATHS is "data"; allowed is a comma-separated list of absolute paths`,
		"HOLDFAST_SANDBOX_PATHS=/x,/./": `is "/x,/./"`,
	} {
		if _, err := settings.LoadWorker(env(t, database, entry)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", entry, err)
		}
		if _, err := settings.LoadStack(env(t, entry)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: holdfast up takes it: %v", entry, err)
		}
	}
}

// TestWorker_PlacesAreWhereTheProductIs: what the operator names, Postgres, Temporal.
func TestWorker_PlacesAreWhereTheProductIs(t *testing.T) {
	t.Parallel()
	w, err := settings.LoadWorker(env(t, "HOLDFAST_DATABASE_URL=postgres://u:p@db.example,10.1.2.3:5433/x", "TEMPORAL_ADDRESS=temporal:7233", "HOLDFAST_NETWORK_REFUSED=web:8000, 10.0.0.0/8:*"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.Places(), []string{"10.0.0.0/8:*", "10.1.2.3:5433", "db.example:5432", "temporal:7233", "web:8000"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"web", "*.example.org:1", "web:0", "*:*"} {
		if _, err := settings.LoadWorker(env(t, database, "HOLDFAST_NETWORK_REFUSED="+bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
