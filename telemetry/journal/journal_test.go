package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/telemetry/journal"
)

// written are the lines about a transaction.
func written(ctx context.Context, t *testing.T, c store.Committed) []map[string]any {
	t.Helper()
	var b bytes.Buffer
	journal.New(logs.New(&b, logs.FormatJSON, slog.LevelInfo), nil).Committed(ctx, c)
	var all []map[string]any
	for line := range strings.Lines(b.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestJournal_WritesOneLineOfEachEvent(t *testing.T) {
	t.Parallel()
	two := 2
	events := []struct {
		event schema.NewEvent
		msg   string // "" for none
		has   map[string]any
	}{
		{schema.NewEvent{Type: schema.EventWorkflowPaused, RunID: "r", Data: json.RawMessage(`{"actor":"ada","reason":"requested"}`)}, "session suspended", map[string]any{"actor": "ada", "reason": "requested", "run_id": "r"}},
		{schema.NewEvent{Type: schema.EventWorkflowResumed, Data: schema.WorkflowResumedData{Actor: "bob"}}, "session resumed", map[string]any{"actor": "bob", "run_id": nil}},
		{schema.NewEvent{Type: schema.EventWorkflowStateChanged, RunID: "r", Data: schema.WorkflowStateChangedData{Status: schema.SessionActive}}, "", nil},
		{schema.NewEvent{Type: schema.EventWorkflowStateChanged, RunID: "r", Data: schema.WorkflowStateChangedData{Status: schema.SessionExpired}}, "session ended", map[string]any{"status": "expired"}},
		{schema.NewEvent{Type: schema.EventDAGNodeStatusChanged, RunID: "r", StepID: "a", Data: schema.DAGNodeStatusChangedData{NodeID: "a", OldStatus: schema.StepFrozen, NewStatus: schema.StepRunning}}, "step thawed", map[string]any{"step_id": "a"}},
		{schema.NewEvent{Type: schema.EventDAGNodeStatusChanged, RunID: "r", StepID: "a", Data: schema.DAGNodeStatusChangedData{NodeID: "a", OldStatus: schema.StepReady, NewStatus: schema.StepRunning}}, "", nil},
		{schema.NewEvent{Type: schema.EventWorkflowCancelled, RunID: "r", Data: schema.WorkflowCancelledData{Reason: "expired"}}, "run ended", map[string]any{"status": "expired"}},
		{schema.NewEvent{Type: schema.EventWorkflowCancelled, RunID: "r", Data: schema.WorkflowCancelledData{Actor: "ada", Reason: "requested"}}, "run ended", map[string]any{"status": "cancelled", "actor": "ada"}},
		{schema.NewEvent{Type: schema.EventStepReattached, RunID: "r", StepID: "a", Data: schema.StepReattachedData{Attempt: 2, Host: "h"}}, "attempt re-attached", map[string]any{"attempt": 2.0, "host": "h"}},
		{schema.NewEvent{Type: schema.EventStepFailed, RunID: "r", StepID: "a", Data: schema.StepFailedData{Attempt: 1, Status: schema.AttemptFailed, ExitCode: &two, Reason: schema.ReasonExit, DurationMS: 1500}}, "attempt failed", map[string]any{"exit_code": 2.0, "reason": "exit", "took": "1.5s"}},
		{schema.NewEvent{Type: schema.EventStepFailed, RunID: "r", StepID: "a", Data: schema.StepFailedData{Attempt: 1, Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}}, "attempt ended", map[string]any{"reason": "cancelled"}},
		{schema.NewEvent{Type: schema.EventApprovalExpired, RunID: "r", StepID: "a", Data: schema.ApprovalExpiredData{ApprovalID: "q", Reason: "cancelled", Actor: "ada"}}, "approval closed", map[string]any{"approval_id": "q", "reason": "cancelled", "actor": "ada"}},
		{schema.NewEvent{Type: schema.EventOutput, RunID: "r", StepID: "a", Data: schema.OutputData{Text: "secret"}}, "", nil},
	}
	for _, c := range events {
		lines := written(t.Context(), t, store.Committed{SessionID: "s", Events: []schema.NewEvent{c.event}})
		switch {
		case c.msg == "" && len(lines) == 0:
		case len(lines) != 1 || lines[0]["msg"] != c.msg || lines[0]["session_id"] != "s" || lines[0]["level"] != "INFO":
			t.Errorf("%s %+v wrote %v, want %q", c.event.Type, c.event.Data, lines, c.msg)
		default:
			for key, want := range c.has {
				if lines[0][key] != want {
					t.Errorf("%q has %s %v, want %v", c.msg, key, lines[0][key], want)
				}
			}
			known := slices.IndexFunc(journal.Lines, func(l *journal.Line) bool { return l.Message == c.msg })
			for key := range lines[0] {
				if known < 0 || !slices.Contains(append([]string{"time", "level", "msg", "session_id"}, journal.Lines[known].Attrs...), key) {
					t.Errorf("%q has %s, which is not documented", c.msg, key)
				}
			}
		}
	}
}

// A step's host may record what a person has decided before: that is not about the step.
func TestJournal_AnEventIsAboutWhatItNamesAlone(t *testing.T) {
	t.Parallel()
	ctx := logs.With(t.Context(), logs.Session("s"), logs.Run("r"), logs.Step("a"), logs.Attempt(1), logs.Approval("q"), logs.Request("x"))
	lines := written(ctx, t, store.Committed{SessionID: "s", Events: []schema.NewEvent{
		{Type: schema.EventWorkflowResumed, Data: schema.WorkflowResumedData{Actor: "bob"}},
		{Type: schema.EventStepStarted, RunID: "r", StepID: "b", Data: schema.StepStartedData{Attempt: 2}},
	}})
	want := []map[string]any{
		{"session_id": "s", "run_id": nil, "step_id": nil, "attempt": nil, "approval_id": nil, "request_id": "x"},
		{"session_id": "s", "run_id": "r", "step_id": "b", "attempt": 2.0, "approval_id": nil, "request_id": "x"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%v", lines)
	}
	for i := range want {
		for key, value := range want[i] {
			if lines[i][key] != value {
				t.Errorf("%v has %s %v, want %v", lines[i]["msg"], key, lines[i][key], value)
			}
		}
	}
}

// How long an ended session is kept may change, which does not end it again.
func TestJournal_ASessionEndsOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was, is schema.SessionStatus
		want    int
	}{
		{schema.SessionActive, schema.SessionCompleted, 1},
		{schema.SessionCompleted, schema.SessionCompleted, 0},
		{schema.SessionFailed, schema.SessionFailed, 0},
		{schema.SessionFailed, schema.SessionExpired, 1},
	} {
		lines := written(t.Context(), t, store.Committed{SessionID: "s", Was: c.was, Events: []schema.NewEvent{
			{Type: schema.EventWorkflowStateChanged, RunID: "r", Data: schema.WorkflowStateChangedData{Status: c.is, Phase: schema.PhaseIdle}},
		}})
		if len(lines) != c.want {
			t.Errorf("from %s to %s: %v", c.was, c.is, lines)
		}
	}
}

// How an attempt ended is what its event says: one whose supervisor is lost too often has failed.
func TestJournal_CountsAttemptsByHowTheyEnded(t *testing.T) {
	t.Parallel()
	m, err := telemetry.New(telemetry.Options{Process: telemetry.Worker, Log: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	j := journal.New(logs.Discard(), m)
	for _, end := range []schema.StepFailedData{
		{Status: schema.AttemptLost, Reason: schema.ReasonSupervisor},
		{Status: schema.AttemptFailed, Reason: schema.ReasonSupervisor},
		{Status: schema.AttemptFailed, Reason: schema.ReasonDiskQuota},
		{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled},
	} {
		j.Committed(t.Context(), store.Committed{SessionID: "s", Events: []schema.NewEvent{{Type: schema.EventStepFailed, RunID: "r", StepID: "a", Data: end}}})
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`holdfast_steps_ended_total{status="cancelled"} 1`, `holdfast_steps_ended_total{status="failed"} 2`, `holdfast_steps_ended_total{status="lost"} 1`,
		`holdfast_steps_lost_total{reason="supervisor_lost"} 1`, "holdfast_workspace_quota_exceeded_total 1",
	} {
		if !strings.Contains(w.Body.String(), "\n"+want+"\n") {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
}
