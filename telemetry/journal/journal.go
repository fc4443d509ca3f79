package journal

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry"
)

// Journal logs and counts what is committed. Its method Committed is for [store.Options].
type Journal struct {
	log       *slog.Logger
	telemetry *telemetry.Telemetry
}

// New makes a journal. Without telemetry, which may be nil, it only logs.
func New(log *slog.Logger, t *telemetry.Telemetry) *Journal {
	for _, why := range losses { // so that a rate sees the first
		t.Add(telemetry.StepsLost, 0, string(why))
	}
	for _, end := range []schema.AttemptStatus{schema.AttemptSucceeded, schema.AttemptFailed, schema.AttemptCancelled, schema.AttemptLost} {
		t.Add(telemetry.StepsEnded, 0, string(end))
	}
	return &Journal{log: log, telemetry: t}
}

// Committed writes down one transaction.
func (j *Journal) Committed(ctx context.Context, c store.Committed) {
	// Whoever commits may be about a step that the events are not about.
	ctx = logs.With(logs.Without(ctx, logs.KeyRun, logs.KeyStep, logs.KeyAttempt, logs.KeyApproval), logs.Session(c.SessionID))
	if c.Created {
		j.say(logs.With(ctx, logs.Actor(c.Actor)), SessionStarted)
	}
	for i := range c.Events {
		e := &c.Events[i]
		of := ctx
		if e.RunID != "" {
			of = logs.With(of, logs.Run(e.RunID))
		}
		if e.StepID != "" {
			of = logs.With(of, logs.Step(e.StepID))
		}
		j.event(of, e, c.Was)
	}
	for _, a := range c.Closed {
		j.telemetry.Observe(telemetry.ApprovalWait, a.Waited.Seconds(), string(a.Type), string(a.Status))
	}
}

func (j *Journal) say(ctx context.Context, l *Line, attrs ...slog.Attr) {
	j.log.LogAttrs(ctx, slog.LevelInfo, l.Message, attrs...) //nolint:sloglint // each is a constant of Lines
}

func (j *Journal) event(ctx context.Context, e *schema.NewEvent, was schema.SessionStatus) {
	data := payload(e)
	switch data := data.(type) {
	case schema.WorkflowStartedData:
		j.say(ctx, RunStarted, slog.Int("run_number", data.RunNumber), slog.String("mode", string(data.Mode)))
	case schema.WorkflowCompletedData:
		j.say(ctx, RunEnded, status(schema.SessionCompleted), took(data.DurationMS), slog.Int("failed_steps", data.FailedSteps))
	case schema.WorkflowFailedData:
		j.say(ctx, RunFailed, took(data.DurationMS), slog.String(logs.KeyError, data.Error))
	case schema.WorkflowCancelledData:
		end := schema.SessionCancelled
		if data.Reason == string(schema.SessionExpired) { // the event has no other word for it
			end = schema.SessionExpired
		}
		j.say(by(ctx, data.Actor), RunEnded, status(end), slog.String("reason", data.Reason))
	case schema.WorkflowStateChangedData:
		if data.Status != was { // else something else of its state has changed
			j.state(ctx, &data)
		}
	case schema.WorkflowPausedData:
		j.say(by(ctx, data.Actor), SessionSuspended, slog.String("reason", data.Reason))
	case schema.WorkflowResumedData:
		j.say(by(ctx, data.Actor), SessionResumed)
	case schema.ApprovalReceivedData:
		j.say(by(logs.With(ctx, logs.Approval(data.ApprovalID)), data.Actor), ApprovalDecided, slog.String("resolution", string(data.Resolution)))
	case schema.ApprovalExpiredData:
		j.say(by(logs.With(ctx, logs.Approval(data.ApprovalID)), data.Actor), ApprovalClosed, slog.String("reason", data.Reason))
	case schema.DAGNodeStatusChangedData:
		j.step(logs.With(ctx, logs.Step(data.NodeID)), &data)
	default:
		j.attempt(ctx, data)
	}
}

// payload is an event's data as its struct. A workflow's notes come encoded.
func payload(e *schema.NewEvent) any {
	raw, encoded := e.Data.(json.RawMessage)
	if !encoded {
		return e.Data
	}
	for _, p := range schema.Events {
		if p.Type != e.Type {
			continue
		}
		data := reflect.New(reflect.TypeOf(p.Data))
		if json.Unmarshal(raw, data.Interface()) == nil {
			return data.Elem().Interface()
		}
	}
	return nil // whoever reads the event finds the same
}

// state writes down the end of a session; a change between active and suspended has events of its own.
func (j *Journal) state(ctx context.Context, now *schema.WorkflowStateChangedData) {
	switch {
	case now.Status == schema.SessionFailed:
		j.say(ctx, SessionFailed)
	case now.Status.Final():
		j.say(ctx, SessionEnded, status(now.Status))
	}
}

func (j *Journal) step(ctx context.Context, now *schema.DAGNodeStatusChangedData) {
	switch {
	case now.NewStatus == schema.StepFrozen:
		j.say(ctx, StepFrozen)
	case now.OldStatus == schema.StepFrozen && now.NewStatus == schema.StepRunning:
		j.say(ctx, StepThawed)
	}
}

func (j *Journal) attempt(ctx context.Context, data any) {
	switch data := data.(type) {
	case schema.StepStartedData:
		j.telemetry.Add(telemetry.StepsStarted, 1)
		j.say(of(ctx, data.Attempt), AttemptStarted, slog.String("host", data.Host))
	case schema.StepReattachedData:
		j.telemetry.Add(telemetry.StepsReattached, 1)
		j.say(of(ctx, data.Attempt), AttemptReattached, slog.String("host", data.Host))
	case schema.StepCompletedData:
		j.telemetry.Add(telemetry.StepsEnded, 1, string(schema.AttemptSucceeded))
		j.say(of(ctx, data.Attempt), AttemptEnded, took(data.DurationMS))
	case schema.StepFailedData:
		if data.Status == schema.AttemptLost {
			j.telemetry.Add(telemetry.StepsLost, 1, string(data.Reason))
		}
		if data.Reason == schema.ReasonDiskQuota {
			j.telemetry.Add(telemetry.QuotaExceeded, 1)
		}
		j.telemetry.Add(telemetry.StepsEnded, 1, string(data.Status))
		ctx = of(ctx, data.Attempt)
		if data.Status == schema.AttemptCancelled {
			j.say(ctx, AttemptEnded, took(data.DurationMS), slog.String("reason", string(data.Reason)))
			return
		}
		attrs := []slog.Attr{took(data.DurationMS), slog.String("reason", string(data.Reason))}
		if data.ExitCode != nil {
			attrs = append(attrs, slog.Int("exit_code", *data.ExitCode))
		}
		if data.Signal != "" {
			attrs = append(attrs, slog.String("signal", data.Signal))
		}
		j.say(ctx, AttemptFailed, attrs...)
	}
}

// losses are the reasons of attempts that were lost with what they ran on.
var losses = []schema.Reason{schema.ReasonWorkerLost, schema.ReasonSupervisor, schema.ReasonHostLost, schema.ReasonOrphaned}

// by names who asked, which nobody may have.
func by(ctx context.Context, actor string) context.Context {
	if actor == "" {
		return ctx
	}
	return logs.With(ctx, logs.Actor(actor))
}

func of(ctx context.Context, attempt int) context.Context {
	return logs.With(ctx, logs.Attempt(attempt))
}

func status(s schema.SessionStatus) slog.Attr { return slog.String("status", string(s)) }

func took(ms int64) slog.Attr {
	return slog.Duration("took", time.Duration(ms)*time.Millisecond)
}
