package cli

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/schema"
)

// openTerminal makes a terminal: what is written to person is typed, and program reads it.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("terminals are made differently here")
	}
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminal can be made: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminal can be made: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// The person edits with a program that reads what is typed: were the terminal not left to it,
// the line would be taken for an answer.
func TestWatch_EditsInThePersonsEditorWhichHasTheTerminal(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	resolved := make(chan struct{})
	s.onEach("POST "+asked+"/resolve", func(int) (int, any) {
		close(resolved)
		s.emit(runOne, event(schema.EventApprovalReceived, "plot", schema.ApprovalReceivedData{ApprovalID: otherID, Resolution: schema.ResolutionModified, Actor: "ada"}),
			ended(schema.EventWorkflowCompleted, schema.WorkflowCompletedData{}))
		return http.StatusOK, schema.Approval{ID: otherID}
	})
	s.on("POST "+asked+"/extend", http.StatusOK, schema.Approval{ID: otherID})
	s.emit(runOne, begun(1, 0), event(schema.EventApprovalRequested, "plot", schema.ApprovalRequestedData{
		ApprovalID: otherID, Type: schema.ApprovalStep, Description: "Run \"plot\"", Options: schema.ApprovalStep.Options(), Context: []byte(`{"step": {"id": "plot", "shell": "python3 plot.py"}}`),
	}))
	person, program := openTerminal(t)
	editor := writeFile(t, "editor.sh", `echo "the editor is open"; read -r line; sed -i "s/plot.py/$line/" "$1"`)
	screen := &lockedBuffer{}
	done := make(chan int, 1)
	go func() {
		env := []string{"HOLDFAST_URL=" + s.URL, "EDITOR=false", "VISUAL=sh " + editor, "PATH=" + os.Getenv("PATH")}
		done <- New().Run(t.Context(), []string{"session", "watch", scriptedID}, program, screen, screen, env)
	}()
	types := func(line string) {
		t.Helper()
		if _, err := person.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	screen.await(t, "Approve? [a]pprove / [r]eject / [e]dit / e[x]tend by 5m / [q]uit watching: ")
	types("x")
	s.awaits("POST " + asked + `/extend {"seconds":300}`)
	types("e")
	screen.await(t, "the editor is open\n")
	s.emit(runOne, printed("other", "while the editor is open\n"))
	types("a")
	screen.await(t, "while the editor is open\n") // once it is closed
	<-resolved
	s.wants("POST " + asked + `/resolve {"resolution":"modified","modifications":{"shell":"python3 a"}}`)
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, screen)
	}
}

func TestWatch_SaysThatTheEditorDoesNotWorkAndAsksAgain(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0), event(schema.EventApprovalRequested, "plot", schema.ApprovalRequestedData{
		ApprovalID: otherID, Type: schema.ApprovalStep, Options: schema.ApprovalStep.Options(), Context: []byte(`{"step": {"id": "plot", "shell": "x"}}`),
	}))
	person, program := openTerminal(t)
	screen := &lockedBuffer{}
	done := make(chan int, 1)
	go func() {
		done <- New().Run(t.Context(), []string{"session", "watch", scriptedID}, program, screen, screen, []string{"HOLDFAST_URL=" + s.URL, "EDITOR=false"})
	}()
	screen.await(t, "Approve?")
	_, _ = person.WriteString("e\n")
	screen.await(t, `nothing was changed: the editor "false" ended with an error (exit status 1); VISUAL or EDITOR names yours`)
	_, _ = person.WriteString("q\n")
	if code := <-done; code != exitUndecided || strings.Count(screen.String(), "Approve?") != 2 {
		t.Errorf("exit code %d: %s", code, screen)
	}
}

// awaits waits for a request.
func (s *scripted) awaits(request string) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if slices.Contains(s.asked(), request) {
			return
		}
	}
	s.t.Fatalf("%q is not asked for; there were %q", request, s.asked())
}
