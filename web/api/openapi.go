package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// Documents are the OpenAPI 3.1 document of the API, with every endpoint and every event and frame of the WebSocket, and
// the AsyncAPI 3 document of the WebSocket. The types of the TypeScript client and the UI are generated from the first.
func Documents() (openapi, asyncapi []byte, err error) {
	s := &Service{}
	s.register(fiber.New(fiber.Config{DisableStartupMessage: true}))
	doc, err := s.openAPI()
	if err != nil {
		return nil, nil, err
	}
	if openapi, err = indented(doc); err != nil {
		return nil, nil, err
	}
	asyncapi, err = indented(asyncAPI(doc))
	return openapi, asyncapi, err
}

func (s *Service) openAPI() (map[string]any, error) {
	registry := s.huma.OpenAPI().Components.Schemas
	unions := frameUnions(registry)
	for _, edit := range []reflect.Type{reflect.TypeFor[schema.PlanEdit](), reflect.TypeFor[schema.StepEdit](), reflect.TypeFor[schema.ToolEdit]()} {
		registry.Schema(edit, true, edit.Name())
	}
	doc, err := plain(s.huma.OpenAPI())
	if err != nil {
		return nil, err
	}
	members, err := plain(unions)
	if err != nil {
		return nil, err
	}
	schemas := member(member(doc, "components"), "schemas")
	maps.Copy(schemas, members)
	// The plan is checked by schema.ParsePlan, which says more than a JSON schema can.
	for _, name := range []string{"NewSession", "NewRun", "NewFork"} {
		property(schemas, name, "plan")[refTo] = schemasAt + "Plan"
	}
	modifications(schemas)
	for _, name := range []string{"Session", "Approval"} {
		anyObject(property(schemas, name, "context"))
	}
	return doc, nil
}

// plain is a value as its JSON has it.
func plain(value any) (map[string]any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("decode the OpenAPI document: %w", err)
	}
	return out, nil
}

// indented is a document as it is kept in the repository and served.
func indented(doc map[string]any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("encode a document: %w", err)
	}
	return out.Bytes(), nil
}

const (
	inQuery   = "query" // where a parameter stands
	refTo     = "$ref"
	schemasAt = "#/components/schemas/"
)

const (
	fieldModifications  = "modifications"
	schemaModifications = "Modifications"
)

// modifications are checked by schema.CheckModifications. Which shape they have depends on
// the approval's type.
func modifications(schemas map[string]any) {
	schemas[schemaModifications] = map[string]any{
		"description": "What is to be done instead: the new plan, what changes about the step, or the tool's arguments",
		"anyOf": []any{
			map[string]any{refTo: schemasAt + "PlanEdit"}, map[string]any{refTo: schemasAt + "StepEdit"}, map[string]any{refTo: schemasAt + "ToolEdit"},
			map[string]any{"type": "null"},
		},
	}
	property(schemas, "ResolveRequest", fieldModifications)[refTo] = schemasAt + schemaModifications
	for _, at := range [][2]string{{"Approval", fieldModifications}, {"ApprovalReceivedData", fieldModifications}, {"ToolEdit", "arguments"}} {
		anyObject(property(schemas, at[0], at[1]))
	}
}

// member is an object within an object of the document.
func member(object map[string]any, name string) map[string]any {
	m, ok := object[name].(map[string]any)
	if !ok { // a schema that allows anything is written as true
		m = map[string]any{}
		object[name] = m
	}
	return m
}

func property(schemas map[string]any, object, name string) map[string]any {
	return member(member(member(schemas, object), "properties"), name)
}

func anyObject(s map[string]any) {
	s["type"], s["additionalProperties"] = huma.TypeObject, true
}

// enum gives a string type of the vocabulary its values in the document.
type enum[T ~string] string

// enumValues maps a type to the values that alias was given, which never change.
var enumValues sync.Map

// Schema implements huma.SchemaProvider.
func (enum[T]) Schema(huma.Registry) *huma.Schema {
	values, _ := enumValues.Load(reflect.TypeFor[T]())
	list, _ := values.([]any)
	return &huma.Schema{Type: huma.TypeString, Enum: list}
}

func registerEnums(registry huma.Registry) {
	registry.RegisterTypeAlias(reflect.TypeFor[schema.Time](), reflect.TypeFor[instant]())
	registry.RegisterTypeAlias(reflect.TypeFor[schema.Network](), reflect.TypeFor[network]())
	alias(registry, schema.SessionStatuses...)
	alias(registry, schema.PhaseIdle, schema.PhasePlanning, schema.PhaseAwaitingApproval, schema.PhaseExecuting, schema.PhaseReviewing)
	alias(registry, schema.StepPending, schema.StepReady, schema.StepAwaitingApproval, schema.StepRunning, schema.StepFrozen,
		schema.StepSucceeded, schema.StepFailed, schema.StepSkipped, schema.StepCancelled)
	alias(registry, schema.AttemptRunning, schema.AttemptSucceeded, schema.AttemptFailed, schema.AttemptCancelled, schema.AttemptLost)
	alias(registry, schema.ReasonExit, schema.ReasonSignal, schema.ReasonTimeout, schema.ReasonCancelled, schema.ReasonStart,
		schema.ReasonWorkerLost, schema.ReasonOutOfMemory, schema.ReasonDiskQuota, schema.ReasonProcesses, schema.ReasonOutputLimit, schema.ReasonSandbox,
		schema.ReasonSupervisor, schema.ReasonHostLost, schema.ReasonOutput, schema.ReasonOrphaned, schema.ReasonRetry, schema.ReasonChanged)
	alias(registry, schema.ApprovalPending, schema.ApprovalResolved, schema.ApprovalExpired, schema.ApprovalCancelled, schema.ApprovalVoid)
	alias(registry, schema.ApprovalPlan, schema.ApprovalStep, schema.ApprovalToolCall, schema.ApprovalErrorRecovery,
		schema.ApprovalProgramAsk, schema.ApprovalBudget)
	alias(registry, schema.Resolutions...)
	alias(registry, schema.ApprovalModes...)
	alias(registry, modes()...)
	alias(registry, schema.OnTimeoutSuspend, schema.OnTimeoutReject, schema.OnTimeoutApprove, schema.OnTimeoutEscalate)
	alias(registry, schema.OnModifiedAsk, schema.OnModifiedApprove)
	alias(registry, schema.WhenBusyEnqueue, schema.WhenBusyInterrupt, schema.WhenBusyReject)
	alias(registry, schema.MessageQueued, schema.MessageTaken, schema.MessageDropped)
	alias(registry, schema.AuditTaken, schema.AuditIgnored)
	alias(registry, schema.OnErrorFail, schema.OnErrorAsk, schema.OnErrorContinue)
	alias(registry, schema.KindRun, schema.KindShell, schema.KindAgent)
	alias(registry, schema.Stdout, schema.Stderr)
	codes := make([]schema.Code, 0, len(wire.Refusals))
	for _, r := range wire.Refusals {
		codes = append(codes, r.Code)
	}
	alias(registry, codes...)
}

func modes() []schema.Mode {
	var list []schema.Mode
	for _, m := range schema.Modes() {
		list = append(list, m.ID)
	}
	return list
}

func alias[T ~string](registry huma.Registry, values ...T) {
	list := make([]any, 0, len(values))
	for _, v := range values {
		list = append(list, string(v))
	}
	enumValues.LoadOrStore(reflect.TypeFor[T](), list)
	registry.RegisterTypeAlias(reflect.TypeFor[T](), reflect.TypeFor[enum[T]]())
}

// instant is how a time travels.
type instant struct{}

// Schema implements huma.SchemaProvider.
func (instant) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// network is how what a step may reach travels.
type network struct{}

// Schema implements huma.SchemaProvider.
func (network) Schema(huma.Registry) *huma.Schema {
	most := schema.MaxNetworkRules
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeBoolean},
		{
			Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"allow"},
			Properties: map[string]*huma.Schema{"allow": {
				Type: huma.TypeArray, MaxItems: &most, Items: &huma.Schema{Type: huma.TypeString},
				Description: "The only places that it may reach: each is " + schema.NetworkRuleForm,
			}},
		},
	}}
}
