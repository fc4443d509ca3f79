package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

// recipe says what a command of docs/temporal.md acts on, and how to see that it did.
type recipe struct {
	plan   string // asking when ""
	before func(s *stack, id string)
	// check returns what is wrong; it is asked again, and with eventually the command is run
	// again, until nothing is or the time is over.
	check      func(s *stack, id, approval, out string) string
	eventually bool
}

// quiet is a plan that asks nothing; long one that is under way for as long as needed.
const (
	quiet = `{"steps":[{"id":"say","shell":"echo said $HOLDFAST_MESSAGE"}]}`
	long  = `{"steps":[{"id":"wait","shell":"echo waiting; sleep 1000"}]}`
)

func hasStatus(status string) func(s *stack, id string) {
	return func(s *stack, id string) { s.awaitStatus(id, status) }
}

func is(status string) func(s *stack, id, approval, out string) string {
	return func(s *stack, id, _, _ string) string {
		if got := s.session(id).Status; got != status {
			return "the session is " + got
		}
		return ""
	}
}

func shows(parts ...string) func(s *stack, id, approval, out string) string {
	return func(_ *stack, id, approval, out string) string {
		for _, part := range parts {
			part = strings.NewReplacer("SESSION", id, "APPROVAL", approval).Replace(part)
			if !strings.Contains(out, part) {
				return fmt.Sprintf("there is no %q in what it printed", part)
			}
		}
		return ""
	}
}

func resolved(resolution, actor, feedback string) func(s *stack, id, approval, out string) string {
	return func(s *stack, _, approval, _ string) string {
		if a := s.approval(approval); a.Resolution != resolution || a.Actor != actor || a.Feedback != feedback {
			return fmt.Sprintf("the approval is %+v", a)
		}
		return ""
	}
}

func ranAgain(message string) func(s *stack, id, approval, out string) string {
	return func(s *stack, id, _, _ string) string {
		var runs struct {
			Runs []struct {
				Number int    `json:"number"`
				Status string `json:"status"`
			} `json:"runs"`
		}
		s.mustCall("GET", "/api/sessions/"+id+"/runs", nil, &runs)
		done := 0
		for _, r := range runs.Runs {
			if r.Status == "completed" {
				done++
			}
		}
		if done != 2 {
			return fmt.Sprintf("the runs are %+v", runs.Runs)
		}
		var log struct {
			Events []event `json:"events"`
		}
		s.mustCall("GET", "/api/sessions/"+id+"/events?limit=1000", nil, &log)
		if !strings.Contains(text(log.Events), "said "+message) {
			return "no run has said it:\n" + text(log.Events)
		}
		return ""
	}
}

// recipes has one entry for each heading of docs/temporal.md that commands stand under.
var recipes = map[string]recipe{
	"What waits for a person":                {check: shows("session-SESSION"), eventually: true},
	"What one person has under way":          {check: shows("session-SESSION"), eventually: true},
	"How many failed":                        {plan: `{"steps":[{"id":"no","shell":"exit 1"}]}`, before: hasStatus("failed"), check: countsSome, eventually: true},
	"Describe it":                            {check: shows("session-SESSION", "holdfast-sessions", "HoldfastPhase")},
	"The current details":                    {check: shows("active", "step_approval", "publish", "APPROVAL", "temporal workflow update execute")},
	"Queries":                                {check: shows(`"session_id":"SESSION"`, `"approval_id":"APPROVAL"`, `"id":"publish"`)},
	"Approve, with an update":                {check: resolved("approved", "ada", "looks good")},
	"Approve, with a signal":                 {check: resolved("approved", "ada", "")},
	"Reject":                                 {check: resolved("rejected", "ada", "not on a Friday")},
	"Edit what is asked about":               {check: askedAgain},
	"Give it more time":                      {check: hasMoreTime},
	"Say something":                          {plan: quiet, before: hasStatus("completed"), check: ranAgain("once more, please")},
	"Start another run":                      {plan: quiet, before: hasStatus("completed"), check: ranAgain("")},
	"Suspend":                                {plan: long, before: hasStatus("active"), check: is("suspended")},
	"Resume":                                 {plan: long, before: suspended, check: is("active")},
	"Cancel":                                 {plan: long, before: hasStatus("active"), check: is("cancelled")},
	"Read one":                               {check: shows("WorkflowExecutionStarted")},
	"Save one, to test a release against it": {check: shows(`"eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"`)},
}

func countsSome(_ *stack, _, _, out string) string {
	if !strings.Contains(out, "Total: ") || strings.Contains(out, "Total: 0") {
		return "it counts none"
	}
	return ""
}

func suspended(s *stack, id string) {
	s.awaitStatus(id, "active")
	s.mustCall("POST", "/api/sessions/"+id+"/suspend", obj{}, nil)
	s.awaitStatus(id, "suspended")
}

func askedAgain(s *stack, id, approval, out string) string {
	if why := resolved("modified", "ada", "")(s, id, approval, out); why != "" {
		return why
	}
	if pending := s.session(id).Pending; len(pending) != 1 || pending[0].ID == approval {
		return fmt.Sprintf("it asks %+v", pending)
	}
	return ""
}

func hasMoreTime(s *stack, _, approval, _ string) string {
	if a := s.approval(approval); a.Remaining < 800 {
		return fmt.Sprintf("the approval is %+v", a)
	}
	return ""
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

func TestTemporalDocs_EveryCommandDoesWhatThePageSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/temporal.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	seen := map[string]bool{}
	for section := range strings.SplitSeq(string(page), "\n### ") {
		heading, _, _ := strings.Cut(section, "\n")
		for n, block := range shellBlock.FindAllStringSubmatch(section, -1) {
			r, ok := recipes[heading]
			if !ok {
				t.Errorf("docs/temporal.md has a command under %q that nothing here tests:\n%s", heading, block[1])
				continue
			}
			seen[heading] = true
			t.Run(fmt.Sprintf("%s %d", heading, n+1), func(t *testing.T) {
				t.Parallel()
				s.in(t).follow(r, block[1])
			})
		}
	}
	for heading := range recipes {
		if !seen[heading] {
			t.Errorf("docs/temporal.md has no command under %q", heading)
		}
	}
}

// follow makes a session for the command, runs it and waits for its effect.
func (s *stack) follow(r recipe, script string) {
	s.t.Helper()
	plan := r.plan
	if plan == "" {
		plan = asking
	}
	id, pending := s.start(plan, nil), ""
	if plan == asking {
		pending = s.awaitApproval(id).ID
	}
	if r.before != nil {
		r.before(s, id)
	}
	out := s.shell(script, id, pending)
	testkit.Within(s.t, patience, "the effect of\n"+script, func() string {
		wrong := r.check(s, id, pending, out)
		if wrong == "" {
			return ""
		}
		wrong += "\nIt printed\n" + out
		if r.eventually {
			out = s.shell(script, id, pending)
		}
		return wrong
	})
}

// shell runs a block of the page as it stands there, and fails where a reader's would.
func (s *stack) shell(script, id, approval string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TEMPORAL_ADDRESS="+s.temporal, "SESSION="+id, "APPROVAL="+approval)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v\n%s\nprinted\n%s", err, script, out.String())
	}
	return out.String()
}
