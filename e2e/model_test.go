package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/internal/testkit"
)

// A drawn session: its plan and config, and what somebody does to it.
type drawn struct {
	Plan    drawnPlan     `json:"plan"`
	Config  obj           `json:"config"`
	Actions []drawnAction `json:"actions"`
}

type drawnPlan struct {
	Steps []drawnStep `json:"steps"`
}

type drawnStep struct {
	ID       string   `json:"id"`
	Shell    string   `json:"shell"`
	Needs    []string `json:"needs,omitempty"`
	Approval bool     `json:"approval,omitempty"`
	Retries  int      `json:"retries,omitempty"`
	OnError  string   `json:"on_error,omitempty"`
}

type drawnAction struct {
	After  time.Duration `json:"after"`
	Name   string        `json:"name"`
	Option int           `json:"option"` // of the options of the approval that is asked about
	Edited bool          `json:"edited"`
}

var drawnSessions = rapid.Custom(func(t *rapid.T) drawn {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	d := drawn{Config: obj{
		"approval_mode":            pick("approval_mode", "none", "after_planning", "before_each_step", "on_error", "all"),
		"approval_timeout_seconds": rapid.SampledFrom([]int{2, 30}).Draw(t, "timeout"),
		"on_timeout":               pick("on_timeout", "suspend", "reject", "approve", "escalate"),
		"on_modified":              pick("on_modified", "ask", "approve"),
		"when_busy":                pick("when_busy", "enqueue", "interrupt", "reject"),
		"parallel":                 rapid.IntRange(1, 3).Draw(t, "parallel"),
	}}
	for i := range rapid.IntRange(1, 4).Draw(t, "steps") {
		s := drawnStep{ID: fmt.Sprintf("s%d", i)}
		s.Shell = fmt.Sprintf("echo $HOLDFAST_STEP_ID $HOLDFAST_ATTEMPT; sleep %s; %s", pick("takes", "0", "0.3", "1"), pick("ends", "true", "true", "exit 3"))
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "need") == 0 {
				s.Needs = append(s.Needs, fmt.Sprintf("s%d", j))
			}
		}
		s.Approval = rapid.IntRange(0, 2).Draw(t, "approval") == 0
		s.Retries = rapid.IntRange(0, 1).Draw(t, "retries")
		s.OnError = pick("on_error", "fail", "ask", "continue")
		d.Plan.Steps = append(d.Plan.Steps, s)
	}
	d.Actions = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawnAction {
		return drawnAction{
			After:  time.Duration(rapid.SampledFrom([]int{0, 100, 500, 1500}).Draw(t, "after")) * time.Millisecond,
			Name:   rapid.SampledFrom([]string{"resolve", "resolve", "resolve", "resolve", "resolve", "suspend", "resume", "resume", "cancel", "extend", "message", "message", "runs"}).Draw(t, "name"),
			Option: rapid.IntRange(0, 5).Draw(t, "option"),
			Edited: rapid.Bool().Draw(t, "edited"),
		}
	}), 4, 14).Draw(t, "actions")
	return d
})

// Dozens of sessions that nobody thought of, on the real product, while its worker and its
// Temporal are killed under them again and again: every command is answered, and what the
// log says in the end is possible, whole, and what the workflow says.
func TestModel_RandomSessionsUnderKills(t *testing.T) {
	t.Parallel()
	const sessions, atOnce, kills = 36, 9, 8
	s := newStack(t)
	var done atomic.Bool
	var all, killer sync.WaitGroup
	killer.Go(func() {
		for i := 0; i < kills && !done.Load(); i++ {
			time.Sleep(4 * time.Second)
			s.kill([]string{"worker", "temporal"}[i%2])
		}
	})
	places := make(chan struct{}, atOnce)
	played := make([]*playedSession, sessions)
	for i := range sessions {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			p := &playedSession{stack: s, t: t, drawn: drawnSessions.Example(i + 1)}
			p.play()
			played[i] = p
		})
	}
	all.Wait()
	done.Store(true)
	killer.Wait()
	for _, p := range played {
		p.settle()
		p.check()
	}
}

// playedSession is a drawn session on its way, with the answers that were given.
type playedSession struct {
	*stack
	drawn

	t        *testing.T
	id       string
	decided  map[string]string // the resolution that was accepted, by approval
	messages map[int]bool
}

func (p *playedSession) play() {
	p.decided, p.messages = map[string]string{}, map[int]bool{}
	var got session
	plan, _ := json.Marshal(p.Plan)
	status, body := p.command("POST", "/api/sessions", obj{"name": "drawn", "mode": "runbook", "plan": json.RawMessage(plan), "config": p.Config})
	if status != http.StatusCreated && status != http.StatusOK {
		p.t.Errorf("create: %d %s\n%s", status, body, plan)
		return
	}
	_ = json.Unmarshal(body, &got)
	p.id = got.ID
	for _, a := range p.Actions {
		time.Sleep(a.After)
		p.do(a)
	}
}

func (p *playedSession) do(a drawnAction) {
	path := "/api/sessions/" + p.id
	switch a.Name {
	case "resolve", "extend":
		var now session
		if status, body := p.command("GET", path, nil); status != http.StatusOK || json.Unmarshal(body, &now) != nil || len(now.Pending) == 0 {
			return
		}
		asked := now.Pending[a.Option%len(now.Pending)]
		if a.Name == "extend" {
			p.command("POST", "/api/approvals/"+asked.ID+"/extend", obj{"seconds": 1})
			return
		}
		p.resolve(asked, a)
	case "message":
		status, body := p.command("POST", path+"/messages", obj{"content": "approved, go on"})
		var got struct {
			Number int `json:"number"`
		}
		if status == http.StatusAccepted && json.Unmarshal(body, &got) == nil {
			if p.messages[got.Number] {
				p.t.Errorf("%s: message %d was given out twice", p.id, got.Number)
			}
			p.messages[got.Number] = true
		}
	case "runs":
		p.command("POST", path+"/runs", obj{"plan": obj{"steps": []obj{{"id": "again", "shell": "echo again"}}}})
	default:
		p.command("POST", path+"/"+a.Name, nil)
	}
}

func (p *playedSession) resolve(asked approval, a drawnAction) {
	options := map[string][]string{
		"plan_approval": {"approved", "approved", "modified", "rejected"}, "step_approval": {"approved", "approved", "modified", "rejected"}, "error_recovery": {"retry", "skip", "abort"},
	}[asked.Type]
	r := options[a.Option%len(options)]
	body := obj{"resolution": r}
	switch {
	case r == "modified" && asked.Type == "plan_approval":
		body["modifications"] = obj{"plan": obj{"steps": []obj{{"id": "new", "shell": "echo new"}, {"id": "next", "shell": "echo next", "needs": []string{"new"}, "approval": true}}}}
	case r == "modified", r == "retry" && a.Edited:
		body["modifications"] = obj{"shell": "echo edited", "files": obj{"note.txt": strconv.Itoa(a.Option)}}
	}
	// Four times in the same moment, as a nervous person clicks; each click is a request of its own.
	var clicks sync.WaitGroup
	for range 3 {
		clicks.Go(func() { p.command("POST", "/api/approvals/"+asked.ID+"/resolve", body) })
	}
	status, _ := p.command("POST", "/api/approvals/"+asked.ID+"/resolve", body)
	clicks.Wait()
	if status == http.StatusOK {
		p.decided[asked.ID] = r
	}
}

var keys atomic.Int64

// command makes one request until it is answered with something other than "try again",
// under one key. Each try is answered within the time that the server promises.
func (p *playedSession) command(method, path string, body any) (int, []byte) {
	key := fmt.Sprint("key-", keys.Add(1))
	var raw []byte
	if body != nil {
		raw, _ = json.Marshal(body)
	}
	var status int
	var answer []byte
	answered := testkit.Poll(patience, func() bool {
		var err error
		if status, answer, err = p.once(method, path, key, raw); err != nil {
			p.t.Errorf("%s %s was not answered: %v", method, path, err)
		}
		return err == nil && status != http.StatusServiceUnavailable
	})
	switch {
	case !answered:
		p.t.Errorf("%s %s was only ever answered with %d %s", method, path, status, answer)
	case status >= 500:
		p.t.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return status, answer
}

func (p *playedSession) once(method, path, key string, raw []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.web+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		return 0, nil, err
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		p.t.Errorf("%s %s: 503 without Retry-After", method, path)
	}
	return res.StatusCode, b.Bytes(), nil
}

// settle cancels what is still under way and waits until it is quiet.
func (p *playedSession) settle() {
	if p.id == "" {
		return
	}
	p.command("POST", "/api/sessions/"+p.id+"/cancel", nil) // refused when it has ended by itself
	p.awaitSession(p.id, "end", func(now session) bool { return now.Status != "active" && now.Status != "suspended" })
}

type workflowView struct {
	Status    string       `json:"status"`
	Phase     string       `json:"phase"`
	RunID     string       `json:"run_id"`
	RunNumber int          `json:"run_number"`
	Steps     []stepStatus `json:"steps"`
	Approvals []any        `json:"approvals"`
	Queued    int          `json:"queued_messages"`
}

type stepStatus struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// check compares the log with itself, with the answers, and with the workflow.
func (p *playedSession) check() {
	if p.id == "" {
		return
	}
	plan, _ := json.Marshal(p.drawn)
	objectf := func(format string, args ...any) {
		p.t.Errorf("%s: %s\n%s", p.id, fmt.Sprintf(format, args...), plan)
	}
	var log struct {
		Events []struct {
			event
			RunID string `json:"run_id"`
		} `json:"events"`
	}
	p.mustCall("GET", "/api/sessions/"+p.id+"/events?limit=1000", nil, &log)
	succeeded, closed, over, started := map[string]bool{}, map[string]int{}, map[string]bool{}, map[int]int{}
	asked := map[string]bool{}
	steps := map[string]string{}
	for i, e := range log.Events {
		if e.Seq != int64(i+1) {
			objectf("event %d has seq %d", i+1, e.Seq)
			break
		}
		var data struct {
			ApprovalID string `json:"approval_id"`
			Resolution string `json:"resolution"`
			NodeID     string `json:"node_id"`
			Old        string `json:"old_status"`
			New        string `json:"new_status"`
			Message    int    `json:"message_number"`
		}
		_ = json.Unmarshal(e.Data, &data)
		step := e.RunID + "/" + e.StepID
		switch e.Type {
		case "workflow_started":
			if data.Message != 0 {
				started[data.Message]++
			}
		case "step_started":
			if succeeded[step] || over[e.RunID] {
				objectf("%s starts after its success %v, or after its run %v (seq %d)", step, succeeded[step], over[e.RunID], e.Seq)
			}
		case "step_completed":
			succeeded[step] = true
		case "dag_node_status_changed":
			if was, known := steps[e.RunID+"/"+data.NodeID]; known && was != data.Old || over[e.RunID] {
				objectf("%s was %q and moves from %q to %q (seq %d, run over %v)", data.NodeID, was, data.Old, data.New, e.Seq, over[e.RunID])
			}
			steps[e.RunID+"/"+data.NodeID] = data.New
		case "dag_updated":
			steps = map[string]string{}
		case "approval_requested":
			asked[data.ApprovalID] = true
		case "approval_received", "approval_expired":
			closed[data.ApprovalID]++
			if accepted := p.decided[data.ApprovalID]; accepted != "" && accepted != data.Resolution {
				objectf("approval %s was accepted as %s, and closed as %q", data.ApprovalID, accepted, data.Resolution)
			}
		case "workflow_completed", "workflow_failed", "workflow_cancelled":
			over[e.RunID] = true
		}
	}
	for id := range asked {
		if closed[id] != 1 {
			objectf("approval %s was closed %d times", id, closed[id])
		}
	}
	for n, times := range started {
		if times != 1 {
			objectf("%d runs answer message %d", times, n)
		}
	}
	p.compare(objectf)
}

// compare holds what Postgres shows against what the workflow knows, now that it is quiet.
func (p *playedSession) compare(objectf func(string, ...any)) {
	var now session
	var live workflowView
	var runs struct {
		Runs []struct {
			ID    string       `json:"id"`
			Steps []stepStatus `json:"steps"`
		} `json:"runs"`
	}
	var messages struct {
		Messages []struct {
			Number int    `json:"number"`
			Status string `json:"status"`
		} `json:"messages"`
	}
	p.mustCall("GET", "/api/sessions/"+p.id, nil, &now)
	p.mustCall("GET", "/api/sessions/"+p.id+"/runs", nil, &runs)
	p.mustCall("GET", "/api/sessions/"+p.id+"/history?limit=200", nil, &messages)
	p.mustCall("GET", "/api/sessions/"+p.id+"/live", nil, &live)
	last := runs.Runs[len(runs.Runs)-1]
	if live.Status != now.Status || live.Phase != now.Phase || live.RunNumber != len(runs.Runs) || live.RunID != last.ID ||
		len(live.Approvals)+len(now.Pending)+live.Queued > 0 || !slices.Equal(live.Steps, last.Steps) {
		objectf("the workflow says %+v, Postgres %+v, %+v", live, now, last)
	}
	stored := map[int]bool{}
	for _, m := range messages.Messages {
		if m.Number == 0 {
			continue
		}
		stored[m.Number] = true
		if m.Status != "taken" && m.Status != "dropped" {
			objectf("message %d is %s", m.Number, m.Status)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(p.messages)) {
		if !stored[n] {
			objectf("message %d was accepted, and is not there", n)
		}
	}
	if len(stored) > 0 && len(stored) != slices.Max(slices.Collect(maps.Keys(stored))) {
		objectf("the messages have gaps: %v", slices.Sorted(maps.Keys(stored)))
	}
}
