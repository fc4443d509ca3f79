package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// The names of the unions in the documents: an event of a log, a frame that is not stored, and a
// frame of a client.
const (
	unionEvent       = "Event"
	unionServerFrame = "ServerFrame"
	unionClientFrame = "ClientFrame"
)

// frameUnions are the schemas of events and frames: each a union that its type tells apart.
func frameUnions(registry huma.Registry) map[string]any {
	events, frames := make([]any, 0, len(schema.Events)), make([]any, 0, len(wire.ServerFrames))
	for _, p := range schema.Events {
		events = append(events, enveloped(registry, p, "seq", "session_id"))
	}
	for _, p := range wire.ServerFrames {
		frames = append(frames, enveloped(registry, p))
	}
	var clients []any
	for _, f := range wire.ClientFrames {
		clients = append(clients, clientFrame(registry, f))
	}
	return map[string]any{
		unionEvent:       union(events, "An event of a session's log"),
		unionServerFrame: union(frames, "A frame of the WebSocket that is not stored"),
		unionClientFrame: union(clients, "A frame that a client sends"),
	}
}

func union(members []any, description string) map[string]any {
	return map[string]any{"description": description, "oneOf": members}
}

// enveloped is the schema of an event or a frame: [schema.Event] with the data of its type. required
// are the fields that it has beyond those that all have.
func enveloped(registry huma.Registry, p schema.Payload, required ...string) map[string]any {
	text := func(more ...string) map[string]any {
		s := map[string]any{"type": huma.TypeString}
		for i := 0; i < len(more); i += 2 {
			s[more[i]] = more[i+1]
		}
		return s
	}
	kind := text()
	kind["enum"] = []any{string(p.Type)}
	properties := map[string]any{
		"event_type": kind, "timestamp": text("format", "date-time"), "session_id": text(),
		"data": map[string]any{refTo: registry.Schema(reflect.TypeOf(p.Data), true, string(p.Type)).Ref},
	}
	if len(required) > 0 {
		properties["seq"] = map[string]any{"type": huma.TypeInteger, "format": "int64", "minimum": 1}
		properties["run_id"], properties["step_id"] = text(), text()
	}
	return map[string]any{
		"type": huma.TypeObject, "additionalProperties": false, "properties": properties,
		"required": append([]string{"event_type", "timestamp", "data"}, required...),
	}
}

// clientFrame is the schema of a type of clients' frames.
func clientFrame(registry huma.Registry, f wire.ClientFrameType) map[string]any {
	t := reflect.TypeOf(f.Frame)
	s := huma.SchemaFromType(registry, t)
	s.Properties["type"].Enum = []any{f.Type}
	if _, has := s.Properties[fieldModifications]; has {
		s.Properties[fieldModifications] = &huma.Schema{Ref: schemasAt + schemaModifications}
	}
	return map[string]any{
		"type": huma.TypeObject, "additionalProperties": false, "properties": s.Properties, "required": s.Required,
	}
}
