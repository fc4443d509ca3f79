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
