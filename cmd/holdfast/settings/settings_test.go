package settings_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/snapshot/clouds"
)

const database = "HOLDFAST_DATABASE_URL=postgres://me:hush@db:5432/holdfast"

// env is an environment without a temporal.toml.
func env(t *testing.T, entries ...string) settings.Env {
	t.Helper()
	return settings.NewEnv(append([]string{"HOME=/home/me", "TEMPORAL_CONFIG_FILE=" + filepath.Join(t.TempDir(), "none.toml")}, entries...))
}

func TestLoadWeb_HasTheDefaultsOfTheContract(t *testing.T) {
	t.Parallel()
	w, err := settings.LoadWeb(env(t, database))
	if err != nil {
		t.Fatal(err)
	}
	if w.Addr != "127.0.0.1:8000" || w.ApprovalTimeout != 300*time.Second || w.SessionTTL != 0 || w.MaxConnections != 10_000 || w.MaxPerUser != 0 || w.MaxPerAddress != 0 || w.Drain != 5*time.Second || len(w.AllowedOrigins) != 0 ||
		w.DataDir != "/home/me/.local/share/holdfast" || w.BlobURL != "file:///home/me/.local/share/holdfast/blobs" || w.Host != "" ||
		w.Format != logs.FormatAuto || w.Level != slog.LevelInfo ||
		w.Options.HostPort != "127.0.0.1:7233" || w.Options.Namespace != "default" || w.Named {
		t.Errorf("got %+v", w)
	}
}

func TestLoadWeb_TakesWhatIsSet(t *testing.T) {
	t.Parallel()
	e := env(t, database, "HOLDFAST_ADDR=0.0.0.0:80", "HOLDFAST_ALLOWED_HOSTS=Lab.example, [::1]:80,192.0.2.1:8000", "HOLDFAST_APPROVAL_TIMEOUT=90", "HOLDFAST_SESSION_TTL=720h", "HOLDFAST_MAX_CONNECTIONS=5", "HOLDFAST_MAX_CONNECTIONS_PER_USER=4", "HOLDFAST_MAX_CONNECTIONS_PER_ADDRESS=3", "HOLDFAST_DRAIN=30", "HOLDFAST_LOG_LEVEL=DEBUG",
		"HOLDFAST_ALLOWED_ORIGINS=https://a.example, http://b.example:81/", "XDG_DATA_HOME=/data", "TEMPORAL_ADDRESS=t:1", "TEMPORAL_NAMESPACE=n",
		"HOLDFAST_LOG_FORMAT=", "HOLDFAST_HOST=worker-1")
	w, err := settings.LoadWeb(e.WithFlag("HOLDFAST_ADDR", ":0").WithFlag("HOLDFAST_DATA_DIR", ""))
	if err != nil {
		t.Fatal(err)
	}
	if w.Addr != ":0" || w.ApprovalTimeout != 90*time.Second || w.SessionTTL != 720*time.Hour || w.MaxConnections != 5 || w.MaxPerUser != 4 || w.MaxPerAddress != 3 || w.Drain != 30*time.Second || w.Level != slog.LevelDebug || w.DataDir != "/data/holdfast" ||
		!slices.Equal(w.AllowedOrigins, []string{"https://a.example", "http://b.example:81"}) || w.Host != "worker-1" ||
		w.Options.HostPort != "t:1" || w.Options.Namespace != "n" || !w.Named {
		t.Errorf("got %+v", w)
	}
}

func TestLoad_NamesTheSettingTheValueAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"HOLDFAST_ADDR=8000":                                  `the setting HOLDFAST_ADDR is "8000"; allowed is HOST:PORT, such as 127.0.0.1:8000 or :8000`,
		"HOLDFAST_ADDR=localhost:99999":                       `is "localhost:99999"`,
		"HOLDFAST_MAX_CONNECTIONS_PER_USER=-1":                `the setting HOLDFAST_MAX_CONNECTIONS_PER_USER is "-1"; allowed is a whole number from 0 (no separate limit) to 1000000`,
		"HOLDFAST_DRAIN=11m":                                  `the setting HOLDFAST_DRAIN is "11m"; allowed is a duration from 0s (at once) to 10m`,
		"HOLDFAST_MAX_CONNECTIONS=0":                          `the setting HOLDFAST_MAX_CONNECTIONS is "0"; allowed is a whole number from 1 to 1000000`,
		"HOLDFAST_APPROVAL_TIMEOUT=soon":                      `the setting HOLDFAST_APPROVAL_TIMEOUT is "soon"; allowed is a duration such as 300s or 24h, from 1s to 720h`,
		"HOLDFAST_APPROVAL_TIMEOUT=0s":                        `is "0s"`,
		"HOLDFAST_SESSION_TTL=forever":                        `the setting HOLDFAST_SESSION_TTL is "forever"; allowed is 0s (never), or a duration such as 720h, from 1s to 87600h`,
		"HOLDFAST_SESSION_TTL=10ms":                           `is "10ms"`,
		"HOLDFAST_SESSION_TTL=-1h":                            `is "-1h"`,
		"HOLDFAST_SESSION_TTL=87601h":                         `is "87601h"`,
		"HOLDFAST_DATABASE_URL=mysql://me:hush@db/x":          `the setting HOLDFAST_DATABASE_URL is "mysql://me:xxxxx@db/x"`,
		"HOLDFAST_DATABASE_URL=":                              `the setting HOLDFAST_DATABASE_URL is missing; allowed is a URL`,
		"HOLDFAST_LOG_FORMAT=xml":                             `allowed is auto, text or json`,
		"HOLDFAST_LOG_LEVEL=loud":                             `allowed is debug, info, warn or error`,
		"HOLDFAST_HOST=a b":                                   `the setting HOLDFAST_HOST is "a b"`,
		"HOLDFAST_BLOB_URL=ftp://x":                           `the setting HOLDFAST_BLOB_URL is "ftp://x"; allowed is file:///some/folder`,
		"HOLDFAST_BLOB_URL=file://relative/path":              `the setting HOLDFAST_BLOB_URL is "file://relative/path"`,
		"HOLDFAST_BLOB_URL=s3:///bucket":                      `the setting HOLDFAST_BLOB_URL is "s3:///bucket"`,
		"HOLDFAST_ALLOWED_ORIGINS=a.example":                  `the setting HOLDFAST_ALLOWED_ORIGINS is "a.example"`,
		"TEMPORAL_ADDRESS=temporal":                           `the setting TEMPORAL_ADDRESS is "temporal"; allowed is HOST:PORT`,
		"TEMPORAL_TLS=maybe":                                  `the setting TEMPORAL_TLS is "maybe"; allowed is true or false`,
		"TEMPORAL_TLS_CLIENT_CERT_PATH=/nowhere/cert.pem":     `the settings TEMPORAL_TLS_* do not fit together`,
		"TEMPORAL_CONFIG_FILE=/dev/null\nTEMPORAL_PROFILE=no": `the settings TEMPORAL_* cannot be read`,
	} {
		_, err := settings.LoadWeb(env(t, append([]string{database}, strings.Split(entry, "\n")...)...))
		switch {
		case err == nil:
			t.Errorf("%s was taken", entry)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: the error is %q, want %q in it", entry, err, want)
		case strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hush"):
			t.Errorf("%s: the error %q is more than a line, or tells a secret", entry, err)
		}
	}
}

// A default build says at once what it lacks, instead of failing when the first step has run.
func TestLoadWeb_TakesTheCloudsThatItsBuildCanReach(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"s3://bucket?region=eu-west-1", "gs://bucket", "azblob://container"} {
		w, err := settings.LoadWeb(env(t, database, "HOLDFAST_BLOB_URL="+address))
		want := `the setting HOLDFAST_BLOB_URL is ` + strconv.Quote(address) +
			`; allowed is file:///some/folder; this build lacks the drivers for s3://, gs:// and azblob://, which the build holdfast-clouds has`
		switch {
		case clouds.Included && (err != nil || w.BlobURL != address):
			t.Errorf("%s: %q, %v", address, w.BlobURL, err)
		case !clouds.Included && (err == nil || err.Error() != want):
			t.Errorf("%s: the error is %q, want %q", address, err, want)
		}
	}
}

func TestLoadWorker_BuildID(t *testing.T) {
	t.Parallel()
	for value, ok := range map[string]bool{"": true, "auto": true, "v1.4.0-2-g1f3a5c7": true, "unversioned": false, "__unversioned__": false, "a b": false, "a:b": false} {
		w, err := settings.LoadWorker(env(t, database, "HOLDFAST_BUILD_ID="+value))
		if (err == nil) != ok || (ok && w.BuildID != value) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestLoadWorker_WorkspaceQuotas(t *testing.T) {
	t.Parallel()
	w, err := settings.LoadWorker(env(t, database))
	if err != nil || w.Workspaces != (settings.Workspaces{Bytes: 10 << 30, Files: 100_000}) {
		t.Errorf("got %+v, %v", w, err)
	}
	for value, want := range map[string]int64{
		"0": 0, "1": 1, "500MB": 500e6, "500M": 500e6, "1KiB": 1 << 10, "2TiB": 2 << 40, "7B": 7,
		"": 10 << 30, "-1": -1, "10 GiB": -1, "lots": -1, "1GB5": -1, "999999999999999TiB": -1,
	} {
		w, err := settings.LoadWorker(env(t, database, "HOLDFAST_WORKSPACE_BYTES="+value))
		if (err == nil) != (want >= 0) || err == nil && w.Bytes != want {
			t.Errorf("%q: %+v, %v", value, w, err)
		}
	}
	for value, ok := range map[string]bool{"0": true, "10000000": true, "10000001": false, "-1": false, "1k": false} {
		if _, err := settings.LoadStack(env(t, "HOLDFAST_WORKSPACE_FILES="+value)); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestLoadWorker_MaxOutput(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int64{"": 1 << 30, "0": 0, "64MiB": 64 << 20, "much": -1} {
		w, err := settings.LoadWorker(env(t, database, "HOLDFAST_MAX_OUTPUT="+value))
		if (err == nil) != (want >= 0) || err == nil && w.MaxOutput != want {
			t.Errorf("%q: %+v, %v", value, w, err)
		}
	}
}

func TestLoadStack_NeedsNoDatabaseButChecksWhatItsChildrenRead(t *testing.T) {
	t.Parallel()
	if s, err := settings.LoadStack(env(t)); err != nil || s.DatabaseURL != "" || s.Named {
		t.Errorf("got %+v, %v", s, err)
	}
	_, err := settings.LoadStack(env(t, "OPENAI_BASE_URL=nope"))
	if bad, ok := errors.AsType[*settings.Error](err); !ok || bad.Name != "OPENAI_BASE_URL" {
		t.Errorf("error %v", err)
	}
}

func TestLoadClient_FlagStandsAboveTheEnvironment(t *testing.T) {
	t.Parallel()
	e := env(t, "HOLDFAST_URL=http://first:1", "HOLDFAST_URL=https://last.example/base/")
	if c, err := settings.LoadClient(e); err != nil || c.URL != "https://last.example/base" {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err := settings.LoadClient(e.WithFlag("HOLDFAST_URL", "http://flag")); err != nil || c.URL != "http://flag" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestAll_ListsEverySettingOnceAndTellsNoSecret(t *testing.T) {
	t.Parallel()
	toml := filepath.Join(t.TempDir(), "temporal.toml")
	if err := os.WriteFile(toml, []byte("[profile.default]\naddress = \"from.file:7233\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := settings.All(env(t, database, "OPENAI_API_KEY=sk-hush", "TEMPORAL_API_KEY=hush", "HOLDFAST_LOG_LEVEL=loud", "TEMPORAL_CONFIG_FILE="+toml).
		WithFlag("HOLDFAST_ADDR", ":1"))
	seen := map[string]settings.Setting{}
	for _, s := range all {
		if _, twice := seen[s.Name]; twice {
			t.Errorf("%s is listed twice", s.Name)
		}
		seen[s.Name] = s
		if s.Help == "" || s.Allowed == "" || strings.Contains(s.Value, "hush") {
			t.Errorf("incomplete, or tells a secret: %+v", s)
		}
	}
	for name, want := range map[string]settings.Setting{
		"HOLDFAST_ADDR":         {Value: ":1", Source: settings.FromFlag, Default: "127.0.0.1:8000"},
		"HOLDFAST_DATABASE_URL": {Value: "postgres://me:xxxxx@db:5432/holdfast", Source: settings.FromEnvironment},
		"OPENAI_API_KEY":        {Value: "********", Source: settings.FromEnvironment},
		"TEMPORAL_API_KEY":      {Value: "********", Source: settings.FromEnvironment},
		"TEMPORAL_ADDRESS":      {Value: "from.file:7233", Source: settings.FromFile, Default: "127.0.0.1:7233"},
		"HOLDFAST_SESSION_TTL":  {Value: "0s", Source: settings.FromDefault, Default: "0s"},
		"HOLDFAST_URL":          {Value: "http://127.0.0.1:8000", Source: settings.FromDefault, Default: "http://127.0.0.1:8000"},
	} {
		if got := seen[name]; got.Value != want.Value || got.Source != want.Source || got.Default != want.Default {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	if !strings.Contains(seen["HOLDFAST_LOG_LEVEL"].Problem, `"loud"`) {
		t.Errorf("a bad value is not marked: %+v", seen["HOLDFAST_LOG_LEVEL"])
	}
}

func TestOpenHost_IsMadeOnceForADataDirWhoeverAsksFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	hosts := make([]string, 8)
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() {
			s := settings.Storage{DataDir: dir}
			if err := s.OpenHost(); err != nil {
				t.Error(err)
			}
			hosts[i] = s.Host
		})
	}
	wg.Wait()
	if hosts[0] == "" || len(slices.Compact(hosts)) != 1 {
		t.Errorf("hosts are %q, want one", hosts)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("the data dir has %v, want the file host alone", entries)
	}
	named := settings.Storage{DataDir: dir, Host: "other"}
	if err := named.OpenHost(); err != nil || named.Host != "other" {
		t.Errorf("a host that is set was replaced by %q (%v)", named.Host, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host"), []byte("not a host!"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := settings.Storage{DataDir: dir}
	if err := bad.OpenHost(); err == nil || !strings.Contains(err.Error(), "not a host!") {
		t.Errorf("error %v", err)
	}
}

func TestLoadWorker_Retention(t *testing.T) {
	t.Parallel()
	w, err := settings.LoadWorker(env(t, database))
	if err != nil || w.Retention != (settings.Retention{CompactAfter: time.Hour, ArchiveAfter: 720 * time.Hour}) {
		t.Errorf("got %+v, %v", w, err)
	}
	w, err = settings.LoadWorker(env(t, database, "HOLDFAST_COMPACT_AFTER=never", "HOLDFAST_ARCHIVE_AFTER=24h", "HOLDFAST_DELETE_AFTER=8760h"))
	if err != nil || w.Retention != (settings.Retention{ArchiveAfter: 24 * time.Hour, DeleteAfter: 8760 * time.Hour}) {
		t.Errorf("got %+v, %v", w, err)
	}
	for _, bad := range []string{"0", "soon", "-1h", "100000h"} {
		if _, err := settings.LoadWorker(env(t, database, "HOLDFAST_DELETE_AFTER="+bad)); err == nil || !strings.Contains(err.Error(), "allowed is never, or a duration") {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := settings.LoadStack(env(t, "HOLDFAST_COMPACT_AFTER="+bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAttack_BeyondLoopbackTheNamesOfTheServerAreNeeded(t *testing.T) {
	t.Parallel()
	loads := map[string]func(settings.Env) error{
		"web": func(e settings.Env) error { _, err := settings.LoadWeb(e); return err },
		"up":  func(e settings.Env) error { _, err := settings.LoadStack(e); return err },
	}
	for what, load := range loads {
		for _, addr := range []string{"0.0.0.0:80", ":8411", "[::]:80", "192.0.2.1:80", "lab.example:80", "0:80", "127.0.0.1.example:80"} {
			err := load(env(t, database, "HOLDFAST_ADDR="+addr))
			if err == nil || !strings.Contains(err.Error(), "HOLDFAST_ALLOWED_HOSTS is missing") || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s on %s: %v", what, addr, err)
			}
			if err := load(env(t, database, "HOLDFAST_ADDR="+addr, "HOLDFAST_ALLOWED_HOSTS=lab.example")); err != nil {
				t.Errorf("%s on %s with a name: %v", what, addr, err)
			}
		}
		for _, addr := range []string{"127.0.0.1:80", "localhost:80", "[::1]:80", "127.9.9.9:0"} {
			if err := load(env(t, database, "HOLDFAST_ADDR="+addr)); err != nil {
				t.Errorf("%s on %s: %v", what, addr, err)
			}
		}
		for _, names := range []string{"http://lab.example", "lab.example/", "*", "a b", "lab:http", "lab:0", "lab.example,", "evil@lab", "a:1:2", ".lab"} {
			if err := load(env(t, database, "HOLDFAST_ALLOWED_HOSTS="+names)); err == nil || !strings.Contains(err.Error(), "HOLDFAST_ALLOWED_HOSTS") {
				t.Errorf("%s takes %q: %v", what, names, err)
			}
		}
	}
}

func TestUnknown_SaysWhichSettingIsMeant(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"HOLDFAST_MAXSTEPS=3":          "HOLDFAST_MAX_STEPS",
		"HOLDFAST_DATADIR=/d":          "HOLDFAST_DATA_DIR",
		"HOLDFAST_APPROVAL_TIMEOUTS=1": "HOLDFAST_APPROVAL_TIMEOUT",
		"HOLDFAST_WEATHER=fine":        "",
	} {
		got := settings.Unknown(env(t, entry, database))
		if len(got) != 1 || got[0].Like != want {
			t.Errorf("%s: %v, want %q", entry, got, want)
		}
	}
	for _, entries := range [][]string{
		{database, "HOLDFAST_ADDR=:1", "HOLDFAST_TOKEN=x", "HOLDFAST_TEST_ANYTHING=x", "HOLDFAST_MAXSTEPS=", "HOLD=1"},
		{"HOLDFAST_SOCKET=/run/holdfast/socket", "HOLDFAST_MAXSTEPS=3"}, // a plan's variables inside a step
	} {
		if got := settings.Unknown(env(t, entries...)); len(got) != 0 {
			t.Errorf("%v: %v", entries, got)
		}
	}
}

func TestLoadWeb_WaitsADayForPersonsUnlessTheTimeIsSet(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]time.Duration{"HOME=/home/me": 24 * time.Hour, "HOLDFAST_APPROVAL_TIMEOUT=300s": 300 * time.Second, "HOLDFAST_APPROVAL_TIMEOUT=3d": 72 * time.Hour} {
		w, err := settings.LoadWeb(env(t, database, entry))
		if err != nil || w.AttendedTimeout != want {
			t.Errorf("%s: %v, %v; want %s", entry, w.AttendedTimeout, err, want)
		}
	}
}
