package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

func (a *asking) asksProgram(id, context string) {
	a.event(event(schema.EventApprovalRequested, "fit", schema.ApprovalRequestedData{
		ApprovalID: id, Type: schema.ApprovalProgramAsk, Options: schema.ApprovalProgramAsk.Options(), Context: []byte(context),
	}))
}

func TestAsker_OffersTheOptionsOfAProgramByNumber(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.caughtUp()
	a.asksProgram("1", `{"options": ["coarse", "very fine\u001b[2J"], "chi2": 1.5, "model": "a\nline"}`)
	a.sees("    chi2: 1.5\n    model: a\n      line\n  1  coarse\n  2  very fine\nAnswer? [1-2] / [a] and your own words / [r]eject / e[x]tend by 5m / [q]uit watching: ")
	a.says("3")
	a.sees("Please choose one of the options, or answer with a and your own words.")
	a.says("a") // which of them?
	a.says("2")
	a.wants(schema.ResolutionApproved, "very fine\x1b[2J")
	a.asksProgram("2", `{"options": ["coarse", "fine"]}`)
	a.says("Coarse")
	a.wants(schema.ResolutionApproved, "coarse")
	a.asksProgram("3", `{"options": ["coarse", "fine"]}`)
	a.says("a somewhere in between")
	a.wants(schema.ResolutionApproved, "somewhere in between")
	a.asksProgram("4", `{"options": ["coarse", "fine"]}`)
	a.says("r neither will do")
	a.wants(schema.ResolutionRejected, "neither will do")
	a.asksProgram("5", `{"options": ["yes", "no"]}`) // no is an answer here, not a rejection
	a.says("no")
	a.wants(schema.ResolutionApproved, "no")
	a.asksProgram("6", `"just\na text"`)
	a.sees("    just\n      a text\nApprove? ")
	a.says("a")
	a.wants(schema.ResolutionApproved, "")
	a.asksProgram("7", `{}`)
	a.sees("Approve? [a]pprove / [r]eject / e[x]tend by 5m / [q]uit watching: ")
	a.says("a go on")
	a.wants(schema.ResolutionApproved, "go on")
}

func TestOptions_ThatAreNumbersAreChosenByWhatTheySay(t *testing.T) {
	t.Parallel()
	o := options{"2", "1", "32"}
	if got := strings.Join(o.lines(terminal.Style{}), "|"); got != "  ·  2|  ·  1|  ·  32" {
		t.Errorf("shown as %q", got)
	}
	if got, ok := o.pick("1"); !ok || got != "1" {
		t.Errorf("1 is %q %t", got, ok)
	}
	if got, ok := o.pick("3"); ok {
		t.Errorf("3 is %q", got)
	}
	if !strings.HasPrefix(o.question(), "Answer? [an option] / ") || !strings.HasPrefix(options{"x"}.question(), "Answer? [1] / ") {
		t.Errorf("asked %q", o.question())
	}
}

func TestApprovalShow_ListsWhatAProgramGivesToChooseFrom(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("GET /api/approvals/{id}", http.StatusOK, schema.Approval{
		ID: otherID, SessionID: scriptedID, StepID: "fit", Type: schema.ApprovalProgramAsk, Status: schema.ApprovalPending, Description: "How fine?",
		Options: schema.ApprovalProgramAsk.Options(), Context: []byte(`{"context": "of the grid", "options": ["coarse", "fine"]}`),
	})
	got := run(t, nil, "", "approval", "show", "--server", s.URL, otherID)
	got.want(t, 0, "How fine?\n", "answers    approved, rejected\n", "    of the grid\n  1  coarse\n  2  fine\n", "answer with `holdfast approval resolve 9c0d58b4 approved --feedback ANSWER`")
}

// A yes is to everything the program shows.
func TestAskLines_ShowTheWholeAndHideNoCharacter(t *testing.T) {
	t.Parallel()
	facts := map[string]any{"log": strings.Repeat("row\n", 3000) + "rm -rf /\x1b[2K\u202e", "wide": strings.Repeat("w", 5000) + "end", "list": make([]int, 200)}
	for i := range 60 {
		facts[fmt.Sprintf("name %02d", i)] = i
	}
	text := strings.Join(askLines(terminal.Style{}, schema.Marshal(facts), true), "\n")
	for _, part := range []string{"    log: row\n      row\n", "\n      rm -rf /<U+001B>[2K<U+202E>\n", "wend", "    name 59: 59", "    list: [\n        0,\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if n := strings.Count(text, "row\n"); n != 3000 {
		t.Errorf("%d rows of 3000 are shown", n)
	}
	if strings.ContainsFunc(text, schema.IsInvisible) {
		t.Error("a character that does not show went to the terminal")
	}
	for given, want := range map[string]string{`"a text"`: "    a text", `null`: "", `[1,2]`: "    [1,2]", `{"context":{"a":"b"},"options":["x"]}`: "    a: b", `{}`: ""} {
		if got := strings.Join(askLines(terminal.Style{}, []byte(given), true), "\n"); got != want {
			t.Errorf("%s is shown as %q", given, got)
		}
	}
}

func TestAsker_PagesAQuestionThatShowsMuch(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	pages := make(chan int, 4)
	a.page = func(_ context.Context, lines []string) bool {
		pages <- len(lines)
		return true
	}
	a.asksProgram("1", string(schema.Marshal(map[string]any{"log": strings.Repeat("row\n", 300), "options": []string{"coarse", "fine"}})))
	a.caughtUp()
	a.sees("    302 lines were shown\n  1  coarse\n  2  fine\nAnswer? [1-2]")
	a.sees("[v]iew it again")
	a.says("v")
	if first, again := <-pages, <-pages; first != 302 || again != first {
		t.Fatalf("%d and %d lines were shown", first, again)
	}
}

// A yes to a tool call or a budget is also to all of it, including options, which are not answers there.
func TestSubject_OfAnyQuestionOfAStepIsShownInFull(t *testing.T) {
	t.Parallel()
	about := []byte(`{"tool": "mail", "arguments": {"to": "everyone"}, "options": ["now", 1], "id": "x", "steps": []}`)
	for _, kind := range []schema.ApprovalType{schema.ApprovalToolCall, schema.ApprovalBudget} {
		text := strings.Join(subject(terminal.Style{}, kind, about), "\n")
		for _, part := range []string{"tool: mail", "everyone", "now", "id: x"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing in:\n%s", kind, part, text)
			}
		}

		s := newScripted(t)
		s.on("GET "+asked, http.StatusOK, schema.Approval{ID: otherID, Type: kind, StepID: "send", Status: schema.ApprovalPending, Context: about})
		s.run("", "approval", "show", otherID).want(t, exitOK, "tool: mail", "everyone")

		a := newAsking(t, true)
		a.event(event(schema.EventApprovalRequested, "send", schema.ApprovalRequestedData{ApprovalID: "1", Type: kind, Options: kind.Options(), Context: about}))
		a.caughtUp()
		a.sees("everyone")
	}
}
