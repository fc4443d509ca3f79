package cli

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal/terminaltest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

// The person's editor reads what is typed: if we did not leave it the terminal, the line would
// count as an answer.
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
	person, program := terminaltest.Open(t)
	editor := writeFile(t, "editor.sh", `echo "the editor is open"; read -r line; sed -i "s/plot.py/$line/" "$1"`)
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		env := []string{"HOLDFAST_URL=" + s.URL, "EDITOR=false", "VISUAL=sh " + editor, "PATH=" + os.Getenv("PATH")}
		done <- Run(t.Context(), []string{"session", "watch", scriptedID}, program, screen, screen, env)
	}()
	types := func(line string) {
		t.Helper()
		if _, err := person.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	screen.Await(t, "Approve? [a]pprove / [r]eject / [e]dit / e[x]tend by 5m / [q]uit watching: ")
	types("x")
	s.awaits("POST " + asked + `/extend {"seconds":300}`)
	types("e")
	screen.Await(t, "the editor is open\n")
	s.emit(runOne, printed("other", "while the editor is open\n"))
	types("a")
	screen.Await(t, "while the editor is open\n") // once it is closed
	<-resolved
	s.wants("POST " + asked + `/resolve {"resolution":"modified","modifications":{"shell":"python3 a"}}`)
	if code := exitOf(t, done, screen); code != exitOK {
		t.Errorf("exit code %d: %s", code, screen)
	}
}

func TestWatch_SaysThatTheEditorDoesNotWorkAndAsksAgain(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0), event(schema.EventApprovalRequested, "plot", schema.ApprovalRequestedData{
		ApprovalID: otherID, Type: schema.ApprovalStep, Options: schema.ApprovalStep.Options(), Context: []byte(`{"step": {"id": "plot", "shell": "x"}}`),
	}))
	person, program := terminaltest.Open(t)
	screen := &testkit.Screen{}
	done := make(chan int, 1)
	go func() {
		done <- Run(t.Context(), []string{"session", "watch", scriptedID}, program, screen, screen, []string{"HOLDFAST_URL=" + s.URL, "EDITOR=false"})
	}()
	screen.Await(t, "Approve?")
	_, _ = person.WriteString("e\n")
	screen.Await(t, `nothing was changed: the editor "false" ended with an error (exit status 1); VISUAL or EDITOR names yours`)
	_, _ = person.WriteString("q\n")
	if code := exitOf(t, done, screen); code != exitUndecided || strings.Count(screen.String(), "Approve?") != 2 {
		t.Errorf("exit code %d: %s", code, screen)
	}
}

// awaits waits for a request.
func (s *scripted) awaits(request string) {
	s.t.Helper()
	testkit.EventuallyRight(s.t, "the request "+request, func() string {
		if asked := s.asked(); !slices.Contains(asked, request) {
			return fmt.Sprintf("there were %q", asked)
		}
		return ""
	})
}
