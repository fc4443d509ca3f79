package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
)

//go:generate go run ./genopenapi

// OpenAPI is the OpenAPI 3.1 document of the API: every endpoint, the payload of every
// event and every frame of the WebSocket. The UI's types are generated from it.
func OpenAPI() ([]byte, error) {
	s := &Server{}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	s.api = newAPI(app)
	s.register()
	s.registerFiles(app)
	s.registerPages(app)
	registry := s.api.OpenAPI().Components.Schemas
	events := payloads(registry, eventPayloads)
	frames := payloads(registry, framePayloads)
	clients := payloads(registry, clientFrames)
	for _, edit := range []reflect.Type{reflect.TypeFor[schema.PlanEdit](), reflect.TypeFor[schema.StepEdit](), reflect.TypeFor[schema.ToolEdit]()} {
		registry.Schema(edit, true, edit.Name())
	}
	text, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("decode the OpenAPI document: %w", err)
	}
	schemas := member(member(doc, "components"), "schemas")
	schemas["EventPayloads"] = events
	schemas["FramePayloads"] = frames
	schemas["ClientFrames"] = clients
	// The plan is checked by schema.ParsePlan, which says more than a JSON schema can.
	for _, name := range []string{"NewSession", "NewRun", "NewFork"} {
		property(schemas, name, "plan")[refTo] = schemasAt + "Plan"
	}
	modifications(schemas)
	for _, name := range []string{"Session", "Approval"} {
		anyObject(property(schemas, name, "context"))
	}
	anyObject(property(schemas, "Event", "data"))
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return out.Bytes(), nil
}

const (
	refTo     = "$ref"
	schemasAt = "#/components/schemas/"
)

// modifications are checked by schema.CheckModifications. Which shape they have depends on
// the approval's type.
func modifications(schemas map[string]any) {
	for _, name := range []string{"ResolveRequest", "ResolveApprovalFrame"} {
		m := property(schemas, name, fieldChanges)
		m["description"] = "What is to be done instead: the new plan, what changes about the step, or the tool's arguments"
		m["anyOf"] = []any{
			map[string]any{refTo: schemasAt + "PlanEdit"}, map[string]any{refTo: schemasAt + "StepEdit"}, map[string]any{refTo: schemasAt + "ToolEdit"},
			map[string]any{fieldType: jsonNull},
		}
	}
	for _, at := range [][2]string{{"Approval", fieldChanges}, {"ApprovalReceivedData", fieldChanges}, {"ToolEdit", "arguments"}} {
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
	s[fieldType], s["additionalProperties"] = huma.TypeObject, true
}

// payloads is a schema that maps each type to its payload.
func payloads(registry huma.Registry, table map[schema.EventType]any) map[string]any {
	properties := map[string]any{}
	names := make([]string, 0, len(table))
	for kind, payload := range table {
		s := registry.Schema(reflect.TypeOf(payload), true, string(kind))
		properties[string(kind)] = map[string]any{refTo: s.Ref}
		names = append(names, string(kind))
	}
	slices.Sort(names)
	return map[string]any{fieldType: huma.TypeObject, "additionalProperties": false, "properties": properties, "required": names}
}

// eventPayloads has the payload of each stored event.
var eventPayloads = map[schema.EventType]any{
	schema.EventWorkflowStarted:      schema.WorkflowStartedData{},
	schema.EventWorkflowStateChanged: schema.WorkflowStateChangedData{},
	schema.EventWorkflowPaused:       schema.WorkflowPausedData{},
	schema.EventWorkflowResumed:      schema.WorkflowResumedData{},
	schema.EventWorkflowCompleted:    schema.WorkflowCompletedData{},
	schema.EventWorkflowFailed:       schema.WorkflowFailedData{},
	schema.EventWorkflowCancelled:    schema.WorkflowCancelledData{},
	schema.EventPlanProposed:         schema.PlanProposedData{},
	schema.EventPlanUpdated:          schema.PlanUpdatedData{},
	schema.EventDAGCreated:           schema.DAGCreatedData{},
	schema.EventDAGUpdated:           schema.DAGCreatedData{},
	schema.EventDAGNodeStatusChanged: schema.DAGNodeStatusChangedData{},
	schema.EventStepStarted:          schema.StepStartedData{},
	schema.EventStepProgress:         schema.StepProgressData{},
	schema.EventStepReattached:       schema.StepReattachedData{},
	schema.EventStepCompleted:        schema.StepCompletedData{},
	schema.EventStepFailed:           schema.StepFailedData{},
	schema.EventStepRetryStarted:     schema.StepRetryStartedData{},
	schema.EventStepRetryBackoff:     schema.StepRetryBackoffData{},
	schema.EventStepRetrySucceeded:   schema.StepRetrySucceededData{},
	schema.EventStepRetryExhausted:   schema.StepRetryExhaustedData{},
	schema.EventOutput:               schema.OutputData{},
	schema.EventApprovalRequested:    schema.ApprovalRequestedData{},
	schema.EventApprovalReceived:     schema.ApprovalReceivedData{},
	schema.EventApprovalExtended:     schema.ApprovalExtendedData{},
	schema.EventApprovalEscalated:    schema.ApprovalEscalatedData{},
	schema.EventApprovalExpired:      schema.ApprovalExpiredData{},
	schema.EventAgentMessage:         schema.AgentMessageData{},
	schema.EventFileCreated:          schema.FileChangedData{},
	schema.EventFileUpdated:          schema.FileChangedData{},
	schema.EventSessionRenamed:       schema.SessionRenamedData{},
	schema.EventSessionForked:        schema.SessionForkedData{},
}

// laterEvents are types of the vocabulary that no part makes yet. Filters may name them.
var laterEvents = []schema.EventType{schema.EventCostUpdate}

// framePayloads has the data of each frame that is not stored.
var framePayloads = map[schema.EventType]any{
	schema.FrameConnected:      ConnectedData{},
	schema.FrameSubscribed:     SubscribedData{},
	schema.FrameUnsubscribed:   UnsubscribedData{},
	schema.FrameAccepted:       AcceptedData{},
	schema.FrameQueryResult:    QueryResultData{},
	schema.FramePong:           PongData{},
	schema.FrameHeartbeat:      HeartbeatData{},
	schema.FramePresence:       PresenceData{},
	schema.FrameError:          ErrorData{},
	schema.FrameSessions:       SessionsData{},
	schema.FrameSessionCreated: SessionData{},
	schema.FrameSessionUpdated: SessionData{},
	schema.FrameSessionDeleted: SessionDeletedData{},
}

// clientFrames has the whole of each frame of clients.
var clientFrames = map[schema.EventType]any{
	frameSubscribe:           SubscribeFrame{},
	frameUnsubscribe:         UnsubscribeFrame{},
	frameViewing:             ViewingFrame{},
	frameSubscribeSessions:   PlainFrame{},
	frameUnsubscribeSessions: PlainFrame{},
	framePing:                PlainFrame{},
	frameSuspend:             CommandFrame{},
	framePause:               CommandFrame{},
	frameResume:              CommandFrame{},
	frameCancel:              CommandFrame{},
	frameMessage:             MessageFrame{},
	frameQuery:               QueryFrame{},
	frameResolveApproval:     ResolveApprovalFrame{},
	frameReopenApproval:      ReopenApprovalFrame{},
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
	alias(registry, schema.CodeInvalid, schema.CodeNotFound, schema.CodeConflict, schema.CodeExpired, schema.CodeTooLarge,
		schema.CodeUnavailable, schema.CodeUnauthenticated, schema.CodeForbidden, schema.CodeInternal, schema.CodeStale,
		schema.CodeRateLimited, schema.CodeUnsupported, schema.CodeMethod, schema.CodeCursorAhead, schema.CodeRange)
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
