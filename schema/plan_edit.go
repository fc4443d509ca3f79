package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The modifications that come with a resolution, one shape per kind of approval.
type (
	// PlanEdit is a new plan to replace the one in question. The plan itself, without `plan` around
	// it, is accepted too.
	PlanEdit struct {
		Plan *Plan `json:"plan"`
	}
	// StepEdit is what a human changes in one step before it runs or is retried: another command,
	// other environment variables, another timeout, other files. Absent fields stay as they are.
	// `command` is accepted too: text is Shell, a list is Run.
	StepEdit struct {
		Run     []string          `json:"run,omitempty"`     // replaces the step's run or shell
		Shell   string            `json:"shell,omitempty"`   // the same
		Env     map[string]string `json:"env,omitempty"`     // added to the step's; replaces variables of the same name
		Timeout string            `json:"timeout,omitempty"` // such as 90s
		Files   map[string]string `json:"files,omitempty"`   // added to the plan's; replaces files with the same path
	}
	// ToolEdit is the arguments to call a tool with instead of the proposed ones.
	ToolEdit struct {
		Arguments json.RawMessage `json:"arguments"`
	}
)

// CheckShape lists the errors in modifications that show without reading their contents. A workflow
// checks no more than this, because it has one second for everything. What passes here but not
// [CheckModifications] is refused when the edit is carried out.
func CheckShape(t ApprovalType, r Resolution, raw json.RawMessage) []FieldError {
	absent := len(raw) == 0 || string(raw) == "null"
	switch {
	case absent && r == ResolutionModified:
		return modificationError("", "modified needs modifications: what is to be done instead", nil)
	case absent:
		return nil
	case !t.TakesModifications(r):
		return modificationError("", `modifications come with the resolution "modified", or with the retry of a failed step`, string(r))
	}
	if size := encodedSize(raw); size > MaxPlanBytes { // they go through Temporal
		return modificationError("", "modifications have at most 1048576 bytes, where <, > and & count for six", size)
	}
	if why := JSONProblem(raw, MaxPlanBytes); why != "" {
		return modificationError("", why, nil)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return modificationError("", "modifications are a JSON object", nil)
	}
	if !t.AskedByStep() {
		return nil
	}
	var edit ToolEdit // nothing carries out this edit, and could refuse it later: the step acts on it
	if err := decodeStrict(raw, &edit); err != nil {
		return modificationError("", err.Error(), nil)
	}
	if len(edit.Arguments) == 0 {
		return modificationError(".arguments", "this must be the arguments of the call", nil)
	}
	return nil
}

// CheckModifications lists what is wrong with the modifications of a resolution for an approval of
// this type. Locations start with "modifications".
func CheckModifications(t ApprovalType, r Resolution, raw json.RawMessage) []FieldError {
	if errs := CheckShape(t, r, raw); errs != nil || len(raw) == 0 || string(raw) == "null" {
		return errs
	}
	var errs []FieldError
	switch t {
	case ApprovalPlan:
		_, errs = ParsePlanEdit(raw)
	case ApprovalStep, ApprovalErrorRecovery:
		_, errs = ParseStepEdit(raw)
	default:
	}
	return errs
}

// encodedSize is how many bytes a JSON text takes on its way through Temporal.
func encodedSize(raw json.RawMessage) int {
	encoded, err := json.Marshal(raw)
	if err != nil {
		return len(raw) // not JSON, and refused for that
	}
	return max(len(raw), len(encoded))
}

// ParsePlanEdit reads a [PlanEdit] and checks its plan like a new plan.
func ParsePlanEdit(raw json.RawMessage) (*Plan, []FieldError) {
	at := ".plan"
	var edit struct {
		Plan  json.RawMessage `json:"plan"`
		Steps json.RawMessage `json:"steps"`
		Files json.RawMessage `json:"files"`
	}
	if err := decodeStrict(raw, &edit); err != nil {
		return nil, modificationError("", "the modifications of a plan are {\"plan\": …}: "+err.Error(), nil)
	}
	text := edit.Plan
	switch {
	case len(text) == 0 && len(edit.Steps) == 0:
		return nil, modificationError(".plan", "this must be the new plan", nil)
	case len(text) == 0:
		at, text = "", raw
	case len(edit.Steps)+len(edit.Files) > 0:
		return nil, modificationError("", "the modifications are either the new plan or {\"plan\": …}, not both", nil)
	}
	return parseEdited(text, at)
}

// ParseStepEdit reads a [StepEdit] and checks everything that does not need the plan.
func ParseStepEdit(raw json.RawMessage) (*StepEdit, []FieldError) {
	edit := &StepEdit{}
	if err := decodeStrict(plainCommand(raw), edit); err != nil {
		return nil, modificationError("", "the modifications of a step are run or shell, env, timeout and files: "+err.Error(), nil)
	}
	if edit.Run == nil && edit.Shell == "" && edit.Env == nil && edit.Timeout == "" && edit.Files == nil {
		return nil, modificationError("", "the modifications of a step are run or shell, env, timeout and files; there are none of them", nil)
	}
	if edit.Run != nil && edit.Shell != "" {
		return nil, modificationError(".shell", "a step is either run or shell", nil)
	}
	alone := &Plan{Steps: []PlanStep{{ID: "step", Shell: "true"}}}
	if _, errs := alone.Edited("step", edit); errs != nil {
		return nil, errs
	}
	return edit, nil
}

// plainCommand accepts `command`, the field in which approvals show a step's command: text is
// shell, a list is run.
func plainCommand(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["command"] == nil || fields["run"] != nil || fields["shell"] != nil {
		return raw
	}
	name := "run"
	if bytes.HasPrefix(bytes.TrimSpace(fields["command"]), []byte(`"`)) {
		name = "shell"
	}
	fields[name] = fields["command"]
	delete(fields, "command")
	return Marshal(fields)
}

// Edited is the plan with one step changed, checked like a new plan.
func (p *Plan) Edited(stepID string, e *StepEdit) (*Plan, []FieldError) {
	edited := &Plan{Steps: slices.Clone(p.Steps), Files: p.Files}
	step, ok := edited.Step(stepID)
	if !ok {
		return nil, modificationError("", "the plan has no such step", stepID)
	}
	if e.Run != nil || e.Shell != "" {
		step.Run, step.Shell, step.Agent, step.Task = e.Run, e.Shell, "", ""
	}
	if e.Timeout != "" {
		step.Timeout = e.Timeout
	}
	step.Env = merged(step.Env, e.Env)
	edited.Files = merged(p.Files, e.Files)
	plan, errs := parseEdited(Marshal(edited), "")
	for i := range errs { // the request held the step, not the plan around it
		if _, rest, ok := strings.Cut(errs[i].Location, "]."); ok && strings.HasPrefix(errs[i].Location, "modifications.steps[") {
			errs[i].Location = "modifications." + rest
		}
	}
	return plan, errs
}

func merged(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	all := make(map[string]string, len(base)+len(over))
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}

func parseEdited(text []byte, at string) (*Plan, []FieldError) {
	plan, problems := ParsePlan(text)
	var errs []FieldError
	for _, p := range problems {
		errs = append(errs, FieldError{Location: joinLocation("modifications"+at, p.Location), Message: p.Message, Value: p.Value})
	}
	if plan != nil {
		for _, f := range plan.Unsupported() {
			f.Location = joinLocation("modifications"+at, f.Location)
			errs = append(errs, f)
		}
	}
	if errs != nil {
		return nil, errs
	}
	return plan, nil
}

func joinLocation(at, location string) string {
	if location == "" {
		return at
	}
	return at + "." + location
}

func modificationError(at, message string, value any) []FieldError {
	return []FieldError{{Location: "modifications" + at, Message: message, Value: value}}
}

func decodeStrict(raw json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%q cannot be a %s", wrong.Field, wrong.Value)
	}
	return err
}
