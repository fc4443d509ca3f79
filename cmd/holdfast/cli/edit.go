package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// editable is what a person may change about an approval, as a JSON text for an editor.
type editable struct {
	what       string            // it is, in words
	resolution schema.Resolution // the resolution that carries the change
	text       []byte
	// read checks an edited text. It returns the modifications, nil when nothing has changed,
	// or the problems, each as "LINE:COLUMN: place: message".
	read func(text []byte) (json.RawMessage, []string)
}

// newEditable is nil when the approval is about something that cannot be changed.
func newEditable(d schema.ApprovalRequestedData) *editable {
	e := &editable{}
	switch {
	case slices.Contains(d.Options, schema.ResolutionModified):
		e.resolution = schema.ResolutionModified
	case d.Type == schema.ApprovalErrorRecovery && slices.Contains(d.Options, schema.ResolutionRetry):
		e.resolution = schema.ResolutionRetry
	default:
		return nil
	}
	var c struct {
		Plan      *schema.Plan     `json:"plan"`
		Step      *schema.PlanStep `json:"step"`
		Arguments json.RawMessage  `json:"arguments"`
	}
	if json.Unmarshal(d.Context, &c) != nil {
		return nil
	}
	switch {
	case c.Plan != nil:
		e.what = "the plan"
		e.text = indented(c.Plan)
		e.read = func(text []byte) (json.RawMessage, []string) { return readPlanEdit(c.Plan, text) }
	case c.Step != nil && c.Step.Kind() != schema.KindAgent:
		e.what = "the step: run or shell, env, timeout, and files (path to text)"
		e.text = stepText(c.Step)
		e.read = func(text []byte) (json.RawMessage, []string) { return readStepEdit(c.Step, text) }
	case len(c.Arguments) > 0:
		e.what = "the arguments of the call"
		e.text = indented(c.Arguments)
		e.read = func(text []byte) (json.RawMessage, []string) { return readArguments(c.Arguments, text) }
	default:
		return nil
	}
	return e
}

func (e *editable) decision(modifications json.RawMessage) wire.ResolveRequest {
	return wire.ResolveRequest{Resolution: e.resolution, Modifications: modifications}
}

// indented is JSON for people.
func indented(v any) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, schema.Marshal(v), "", "  "); err != nil {
		return schema.Marshal(v)
	}
	return append(b.Bytes(), '\n')
}

// stepForm is what may be changed in a step, including fields that are not set, so that nobody
// has to know them by heart.
type stepForm struct {
	Run     []string          `json:"run,omitempty"`
	Shell   string            `json:"shell,omitempty"`
	Env     map[string]string `json:"env"`
	Timeout string            `json:"timeout"`
}

func stepText(s *schema.PlanStep) []byte {
	form := stepForm{Run: s.Run, Shell: s.Shell, Env: s.Env, Timeout: s.Timeout}
	if form.Env == nil {
		form.Env = map[string]string{}
	}
	return indented(form)
}

func readPlanEdit(was *schema.Plan, text []byte) (json.RawMessage, []string) {
	if problems, _ := planProblems(text); len(problems) > 0 {
		return nil, problems
	}
	if plan, _ := schema.ParsePlan(text); plan.Digest() == was.Digest() {
		return nil, nil
	}
	return planEdit(text), nil
}

// planEdit makes modifications of a plan's text.
func planEdit(text []byte) json.RawMessage {
	return schema.Marshal(map[string]json.RawMessage{"plan": bytes.TrimSpace(text)})
}

// readStepEdit returns what differs from the step as it was. What a [schema.StepEdit] cannot say
// (that a variable or the timeout is gone) is a problem: it would be silently ignored.
func readStepEdit(was *schema.PlanStep, text []byte) (json.RawMessage, []string) {
	if problems := modificationProblems(schema.ApprovalStep, schema.ResolutionModified, text); problems != nil {
		return nil, problems
	}
	now, _ := schema.ParseStepEdit(text)
	var errs []schema.FieldError
	bad := func(at, message string) { errs = append(errs, schema.FieldError{Location: at, Message: message}) }
	if now.Run == nil && now.Shell == "" {
		bad("", "a step is either run or shell; this one has neither")
	}
	if now.Timeout == "" && was.Timeout != "" {
		bad("timeout", "a timeout can be changed, not taken away; it was "+was.Timeout)
	}
	edit := schema.StepEdit{Files: now.Files}
	for _, name := range slices.Sorted(maps.Keys(was.Env)) {
		if _, kept := now.Env[name]; !kept {
			bad("env", "a variable can be changed, not taken away: "+name)
		}
	}
	if errs != nil {
		return nil, fieldProblems(text, errs)
	}
	if !slices.Equal(now.Run, was.Run) || now.Shell != was.Shell {
		edit.Run, edit.Shell = now.Run, now.Shell
	}
	if now.Timeout != was.Timeout {
		edit.Timeout = now.Timeout
	}
	for name, value := range now.Env {
		if old, had := was.Env[name]; !had || old != value {
			if edit.Env == nil {
				edit.Env = map[string]string{}
			}
			edit.Env[name] = value
		}
	}
	raw := schema.Marshal(edit)
	if string(raw) == "{}" {
		return nil, nil
	}
	return raw, nil
}

func readArguments(was json.RawMessage, text []byte) (json.RawMessage, []string) {
	if offset, message := syntaxError(text); message != "" {
		line, column := position(text, offset)
		return nil, []string{fmt.Sprintf("%d:%d: %s", line, column, message)}
	}
	var old, edited bytes.Buffer
	_, _ = json.Compact(&old, was), json.Compact(&edited, text)
	if bytes.Equal(old.Bytes(), edited.Bytes()) {
		return nil, nil
	}
	return schema.Marshal(schema.ToolEdit{Arguments: edited.Bytes()}), nil
}

// modificationProblems lists the problems in the text of modifications, each as
// "LINE:COLUMN: place: message".
func modificationProblems(t schema.ApprovalType, r schema.Resolution, text []byte) []string {
	if offset, message := syntaxError(text); message != "" {
		line, column := position(text, offset)
		return []string{fmt.Sprintf("%d:%d: %s", line, column, message)}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](json.Unmarshal(text, &schema.StepEdit{})); ok && t != schema.ApprovalPlan && t != schema.ApprovalToolCall {
		return fieldProblems(text, []schema.FieldError{{Location: wrong.Field, Message: "this cannot be a " + wrong.Value}})
	}
	errs := schema.CheckModifications(t, r, text)
	for i := range errs {
		errs[i].Location = strings.TrimPrefix(strings.TrimPrefix(errs[i].Location, "modifications"), ".")
		if _, field, ok := strings.Cut(errs[i].Message, "unknown field "); ok && errs[i].Location == "" {
			errs[i].Location, errs[i].Message = strings.Trim(field, `"`), "there is no such field"
		}
	}
	if errs == nil {
		return nil
	}
	return fieldProblems(text, errs)
}
