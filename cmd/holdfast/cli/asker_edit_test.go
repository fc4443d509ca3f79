package cli

import (
	"strings"
	"testing"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/schema"
)

func TestAsker_DecidesWithWhatWasEdited(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.typing = func(text string) string { return strings.Replace(text, "plot.py", "plot.py --red", 1) }
	a.caughtUp()
	a.asks("1")
	a.says("e")
	if got, want := a.opens(), "{\n  \"shell\": \"python3 plot.py\",\n  \"env\": {},\n  \"timeout\": \"\"\n}\n"; got != want {
		t.Errorf("the editor has\n%s\nwant\n%s", got, want)
	}
	r := <-a.decided
	if r.Resolution != schema.ResolutionModified || string(r.Modifications) != `{"shell":"python3 plot.py --red"}` {
		t.Errorf("decided %s with %s", r.Resolution, r.Modifications)
	}
	// A failed step is retried with the edit.
	a.asks("2", schema.ApprovalErrorRecovery.Options()...)
	a.says("edit")
	r = <-a.decided
	if r.Resolution != schema.ResolutionRetry || string(r.Modifications) != `{"shell":"python3 plot.py --red"}` {
		t.Errorf("decided %s with %s", r.Resolution, r.Modifications)
	}
}

func TestAsker_LetsAPersonMendAnEditOrGiveItUp(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	wrong := "{\n  \"shell\": \"x\",\n  \"tmeout\": \"9\"\n}"
	texts := []string{wrong, `{"shell": `, `{"shell": "y"}`, "same", `{"env": {"A": 1}}`}
	n := 0
	a.typing = func(text string) string {
		n++
		if texts[n-1] == "same" {
			return text
		}
		return texts[n-1]
	}
	a.answer = func(n int) error {
		if n == 1 {
			return &client.ProblemError{Problem: schema.Problem{Status: 422, Detail: "body.modifications.shell: no y here"}}
		}
		return nil
	}
	a.caughtUp()
	a.asks("1")
	a.says("e")
	a.opens()
	a.sees("3:13: tmeout: there is no such field")
	a.sees("[e]dit again / [g]ive the edit up: ")
	a.says("perhaps")
	a.sees("Please answer with one of the letters.")
	a.says("e")
	if got := a.opens(); got != wrong {
		t.Errorf("the editor has %q, want what was typed before", got)
	}
	a.sees("1:10: this is not JSON")
	a.says("e")
	a.opens()
	if r := <-a.decided; string(r.Modifications) != `{"shell":"y"}` {
		t.Errorf("decided with %s", r.Modifications)
	}
	a.sees("body.modifications.shell: no y here") // the server's word; the draft is still there
	a.says("g")
	a.says("e")
	if got := a.opens(); !strings.Contains(got, "python3 plot.py") {
		t.Errorf("the editor has %q, want the step as it is", got)
	}
	a.sees("Nothing was changed.")
	a.says("e")
	a.opens()
	a.sees("env: this cannot be a number")
	a.says("g")
	a.says("a")
	a.wants(schema.ResolutionApproved, "")
}

func TestAsker_ExtendsTheDeadlineAndAsksOn(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.caughtUp()
	a.asks("1")
	a.says("x")
	if by := <-a.extended; by != 5*time.Minute {
		t.Errorf("extended by %s", by)
	}
	before := strings.Count(a.screen(), "Approve?")
	a.event(event(schema.EventApprovalExtended, "", schema.ApprovalExtendedData{ApprovalID: "1"}))
	a.caughtUp()
	if got := strings.Count(a.screen(), "Approve?"); got != before+1 {
		t.Errorf("asked %d times, want %d: %q", got, before+1, a.screen())
	}
	a.says("a")
	a.wants(schema.ResolutionApproved, "")
}

func TestAsker_OffersEditAndExtendOnATerminalAlone(t *testing.T) {
	t.Parallel()
	a := newAsking(t, false)
	a.caughtUp()
	a.asks("1")
	a.sees("Approve? [a]pprove / [r]eject / [q]uit watching: ")
	a.says("x")
	a.says("e")
	a.says("approve")
	a.wants(schema.ResolutionApproved, "")
	if len(a.extended)+len(a.opened) > 0 {
		t.Error("a line of a pipe opened an editor, or extended the deadline")
	}
}

func TestEdit_OfAStepSaysOnlyWhatDiffersAndRefusesWhatWouldBeIgnored(t *testing.T) {
	t.Parallel()
	step := &schema.PlanStep{ID: "a", Run: []string{"python3", "a.py"}, Env: map[string]string{"N": "1", "M": "2"}, Timeout: "5m"}
	for text, want := range map[string]string{
		string(stepText(step)): "",
		`{"run": ["python3", "b.py"], "env": {"N": "1", "M": "3"}, "timeout": "5m"}`:                                `{"run":["python3","b.py"],"env":{"M":"3"}}`,
		`{"shell": "true", "env": {"N": "1", "M": "2", "O": ""}, "timeout": "9m"}`:                                  `{"shell":"true","env":{"O":""},"timeout":"9m"}`,
		`{"run": ["python3", "a.py"], "env": {"N": "1", "M": "2"}, "timeout": "5m", "files": {"a.py": "print(1)"}}`: `{"files":{"a.py":"print(1)"}}`,
	} {
		if got, problems := readStepEdit(step, []byte(text)); string(got) != want || problems != nil {
			t.Errorf("%s is %s %q, want %s", text, got, problems, want)
		}
	}
	for text, want := range map[string]string{
		"{\"run\": [\"x\"],\n \"env\": {\"N\": \"1\"},\n \"timeout\": \"5m\"}": "2:9: env: a variable can be changed, not taken away: M",
		`{"run": ["x"], "env": {"N": "1", "M": "2"}}`:                          "timeout: a timeout can be changed, not taken away; it was 5m",
		`{"env": {"N": "1", "M": "2"}, "timeout": "5m"}`:                       "1:1: a step is either run or shell; this one has neither",
		`{"run": ["x"], "shell": "y"}`:                                         "shell: a step is either run or shell",
		"{\"run\": [\"x\"],\n\"timeout\": \"soon\"}":                           "2:12: timeout: ",
		`{"run": "x"}`:                          "1:9: run: this cannot be a string",
		`{"run": ["x"], "files": {"../x": ""}}`: `1:34: files["../x"]: a file path stays inside the workspace`,
		`{"run": ["x"]} {}`:                     "1:16: this is not JSON",
	} {
		if got, problems := readStepEdit(step, []byte(text)); got != nil || !strings.Contains(strings.Join(problems, "\n"), want) {
			t.Errorf("%s is %s %q, want %q", text, got, problems, want)
		}
	}
}

func TestEdit_OfAPlanIsCheckedAsAPlan(t *testing.T) {
	t.Parallel()
	d := schema.ApprovalRequestedData{Type: schema.ApprovalPlan, Options: schema.ApprovalPlan.Options(), Context: []byte(`{"plan": {"steps": [{"id": "a", "shell": "x > y"}]}}`)}
	e := newEditable(d)
	if e == nil || !strings.Contains(string(e.text), `"shell": "x > y"`) {
		t.Fatalf("the text is %+v", e)
	}
	if got, problems := e.read(e.text); got != nil || problems != nil {
		t.Errorf("the same plan is %s %q", got, problems)
	}
	if got, problems := e.read([]byte(`{"steps": [{"id": "a", "shell": "z"}]}`)); string(got) != `{"plan":{"steps":[{"id":"a","shell":"z"}]}}` || problems != nil {
		t.Errorf("another plan is %s %q", got, problems)
	}
	if _, problems := e.read([]byte("{\"steps\": [{\"id\": \"a\",\n\"task\": \"z\", \"agent\": \"researcher\"}]}")); len(problems) != 1 || !strings.HasPrefix(problems[0], "2:23: steps[0].agent: this server") {
		t.Errorf("problems %q", problems)
	}
	d = schema.ApprovalRequestedData{Type: schema.ApprovalToolCall, Options: schema.ApprovalToolCall.Options(), Context: []byte(`{"arguments": {"n": 1}}`)}
	if got, problems := newEditable(d).read([]byte(`{"n": 2}`)); string(got) != `{"arguments":{"n":2}}` || problems != nil {
		t.Errorf("other arguments are %s %q", got, problems)
	}
	d.Type, d.Options = schema.ApprovalProgramAsk, schema.ApprovalProgramAsk.Options()
	if newEditable(d) != nil {
		t.Error("a program's question can be edited")
	}
}

func TestLocate_FindsTheValueOrWhatIsAroundIt(t *testing.T) {
	t.Parallel()
	text := "{\"a\": [1, {\"b.c\": 2,\n \"d\": {\"e\": \"x\"}}],\n \"f\": null}"
	for path, want := range map[string]string{"": "{", "a": "[", "a[0]": "1", "a[1]": "{\"b.c\"", `a[1]["b.c"]`: "2", "a[1].d.e": `"x"`, "f": "null", "a[1].gone": "{\"b.c\"", "a[9]": "[", "f.g": "null"} {
		if at := locate([]byte(text), path); !strings.HasPrefix(text[at:], want) {
			t.Errorf("%q is at %q, want %q", path, text[at:], want)
		}
	}
	if line, column := position([]byte("ab\ncd"), 4); line != 2 || column != 2 {
		t.Errorf("position %d:%d", line, column)
	}
}
