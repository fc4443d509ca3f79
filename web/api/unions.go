package api

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
		events = append(events, enveloped(registry, p, true))
	}
	for _, p := range wire.ServerFrames {
		frames = append(frames, enveloped(registry, p, false))
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

// enveloped is the schema of an event or a frame: [schema.Event] with the data of its type.
func enveloped(registry huma.Registry, p schema.Payload, stored bool) *huma.Schema {
	s := huma.SchemaFromType(registry, reflect.TypeFor[schema.Event]())
	s.Properties["event_type"].Enum = []any{p.Type}
	s.Properties["data"] = registry.Schema(reflect.TypeOf(p.Data), true, string(p.Type))
	if !stored {
		for _, name := range []string{"seq", "run_id", "step_id"} {
			delete(s.Properties, name)
		}
	} else {
		s.Required = append(s.Required, "seq", "session_id")
	}
	return s
}

// clientFrame is the schema of a type of clients' frames.
func clientFrame(registry huma.Registry, f wire.ClientFrameType) *huma.Schema {
	s := huma.SchemaFromType(registry, reflect.TypeOf(f.Frame))
	s.Properties["type"].Enum = []any{f.Type}
	if _, has := s.Properties[fieldModifications]; has {
		s.Properties[fieldModifications] = &huma.Schema{Ref: schemasAt + schemaModifications}
	}
	return s
}
