package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
)

// asChild makes this test binary start a Postgres in the folder it names and wait to be killed.
const asChild = "HOLDFAST_TEST_POSTGRES_IN"

// unsynced spares the disk: these tests kill processes, never the machine.
var unsynced = map[string]string{"fsync": "off"}

func TestMain(m *testing.M) {
	if dir := os.Getenv(asChild); dir != "" {
		server := &embedded.Postgres{Dir: dir}
		if err := server.Start(context.Background()); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(server.Process().Pid()) + "\n")
		select {}
	}
	os.Exit(testkit.Main(m))
}

func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func start(t *testing.T, server *embedded.Postgres) {
	t.Helper()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
}

func TestPostgres_KeepsPortPasswordAndDataAcrossRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := &embedded.Postgres{Dir: dir}
	start(t, first)
	dsn := first.DSN(embedded.DefaultDatabase)
	execute(t, dsn, "CREATE TABLE kept AS SELECT 'all of it' AS what")
	if got := query(t, dsn, "SHOW listen_addresses"); got != embedded.Loopback {
		t.Errorf("listens on %q, want %q alone", got, embedded.Loopback)
	}
	if info, err := os.Stat(filepath.Join(dir, "password")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v; want mode 0600", info, err)
	}
	for range 2 { // twice: stopping again is not an error
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	second := &embedded.Postgres{Dir: dir}
	start(t, second)
	if got := second.DSN(embedded.DefaultDatabase); got != dsn {
		t.Errorf("address after a restart is %q, was %q", got, dsn)
	}
	if got := query(t, dsn, "SELECT what FROM kept"); got != "all of it" {
		t.Errorf("read %q back", got)
	}
}

func TestPostgres_RecoversFromSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := &embedded.Postgres{Dir: dir, Settings: unsynced}
	start(t, first)
	dsn := first.DSN(embedded.DefaultDatabase)
	execute(t, dsn, "CREATE TABLE kept AS SELECT 'committed' AS what")
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatalf("SIGKILL should leave postmaster.pid behind: %v", err)
	}
	// The worst case: the pid in the file now belongs to another process of the same user.
	_, rest, _ := bytes.Cut(content, []byte("\n"))
	stale := append([]byte(strconv.Itoa(os.Getpid())+"\n"), rest...)
	if err := os.WriteFile(pidFile, stale, 0o600); err != nil {
		t.Fatal(err)
	}

	second := &embedded.Postgres{Dir: dir, Settings: unsynced}
	start(t, second)
	if got := query(t, second.DSN(embedded.DefaultDatabase), "SELECT what FROM kept"); got != "committed" {
		t.Errorf("read %q back", got)
	}
}

func TestPostgres_RefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, &embedded.Postgres{Dir: dir, Settings: unsynced})
	if err := (&embedded.Postgres{Dir: dir, Settings: unsynced}).Start(t.Context()); !errors.Is(err, embedded.ErrRunning) {
		t.Errorf("a second server on the same folder: %v, want %v", err, embedded.ErrRunning)
	}
}

func TestPostgres_TakesAnotherPortWhenItsOwnIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", embedded.Loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port
	server := &embedded.Postgres{Dir: t.TempDir(), Port: taken, Settings: unsynced}
	start(t, server)
	if server.Port == taken {
		t.Errorf("claims port %d, which another holds", taken)
	}
}

func TestPostgres_DiesWithTheProcessThatStartedIt(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no parent-death signal on this system")
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), asChild+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	postgres, err := embedded.OwnedBy("postgres", pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	testkit.Eventually(t, "postgres to end with its parent", func() bool { return !postgres.Alive() })
	start(t, &embedded.Postgres{Dir: dir, Settings: unsynced})
}

func TestTemporal_KeepsPortsAndStateAcrossSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := &embedded.Temporal{Dir: dir, Namespaces: []string{"kept"}}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr, ui := first.Addr(), first.UIURL()
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := &embedded.Temporal{Dir: dir}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second.Addr() != addr || second.UIURL() != ui {
		t.Errorf("addresses changed from %s, %s to %s, %s", addr, ui, second.Addr(), second.UIURL())
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOwned_EndsThatProcessAndNoOtherWithItsPid(t *testing.T) {
	t.Parallel()
	process, err := embedded.StartProcess(exec.Command("sleep", "1000"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill()
	owned, err := embedded.OwnedBy("sleep", process.Pid())
	if err != nil {
		t.Fatal(err)
	}
	other := owned
	other.Start++
	if did, err := other.End(t.Context(), syscall.SIGTERM, time.Second); did || err != nil {
		t.Errorf("ended a process that started at another time: %v, %v", did, err)
	}
	if !owned.Alive() {
		t.Fatal("the process is gone")
	}
	if did, err := owned.End(t.Context(), syscall.SIGTERM, 10*time.Second); !did || err != nil {
		t.Errorf("did not end the process: %v, %v", did, err)
	}
	if owned.Alive() {
		t.Error("the process is still there")
	}
}

func TestListens_TellsOurOwnServerFromAnother(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", embedded.Loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	if !embedded.Listens(os.Getpid(), port) {
		t.Error("this process listens, and is said not to")
	}
	process, err := embedded.StartProcess(exec.Command("sleep", "1000"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill()
	if runtime.GOOS == "linux" && embedded.Listens(process.Pid(), port) {
		t.Error("sleep does not listen, and is said to")
	}
}

func TestNewDatabase_IsEmptyAndSeparate(t *testing.T) {
	t.Parallel()
	server := embeddedtest.StartTestPostgres(t)
	for range 2 {
		dsn := server.NewDatabase(t)
		execute(t, dsn, "CREATE TABLE one (n int)")
	}
}

func TestFind_SaysHowToGetABinary(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(embedded.EnvTemporalBin, "")
	if _, err := embedded.FindTemporal(""); !errors.Is(err, embedded.ErrNotBuilt) {
		t.Errorf("got %v, want %v", err, embedded.ErrNotBuilt)
	}
	t.Setenv(embedded.EnvTemporalBin, "/nowhere/temporal")
	if _, err := embedded.FindTemporal(""); err == nil || !strings.Contains(err.Error(), "/nowhere/temporal") {
		t.Errorf("got %v, want an error that names the setting's value", err)
	}
}
