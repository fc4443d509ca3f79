package api

import (
	"strings"

	"github.com/holdfast/holdfast/schema/wire"
)

// asyncAPI is the AsyncAPI 3 document of the WebSocket: the frames of clients, the frames that
// answer them, and the events of sessions. Its schemas are those of the OpenAPI document.
func asyncAPI(openapi map[string]any) map[string]any {
	schemas := member(member(openapi, "components"), "schemas")
	messages, used := map[string]any{}, map[string]any{}
	sent := messagesOf(schemas, "client", unionClientFrame, "type", messages)
	received := append(messagesOf(schemas, "server", unionServerFrame, "event_type", messages),
		messagesOf(schemas, "event", unionEvent, "event_type", messages)...)
	collect(schemas, messages, used)
	channelMessages := map[string]any{}
	for name := range messages {
		channelMessages[name] = map[string]any{refTo: "#/components/messages/" + name}
	}
	operation := func(action, summary string, names []string) map[string]any {
		list := make([]any, 0, len(names))
		for _, name := range names {
			list = append(list, map[string]any{refTo: "#/channels/socket/messages/" + name})
		}
		return map[string]any{"action": action, "summary": summary, "channel": map[string]any{refTo: "#/channels/socket"}, "messages": list}
	}
	return map[string]any{
		"asyncapi": "3.0.0",
		"info": map[string]any{
			"title": "Holdfast", "version": member(openapi, "info")["version"],
			"description": "The WebSocket of a Holdfast server, as JSON text messages. A message of the server is one frame, or an array of frames. docs/protocol.md tells the order in which they come.",
		},
		"defaultContentType": "application/json",
		"channels": map[string]any{"socket": map[string]any{
			"address": "/ws", "messages": channelMessages,
			"bindings": map[string]any{"ws": map[string]any{"method": "GET", inQuery: map[string]any{
				"type": "object", "properties": map[string]any{"client_id": map[string]any{
					"type": "string", "minLength": 1, "maxLength": wire.MaxClientID,
					"description": "A newer connection with the same client_id takes the place of an older one",
				}},
			}}},
		}},
		"operations": map[string]any{
			"receiveFrames": operation("receive", "What clients send", sent),
			"sendFrames":    operation("send", "What the server sends", received),
		},
		"components": map[string]any{"messages": messages, "schemas": used},
	}
}

// messagesOf adds a message for each member of a union, and returns their names in order.
func messagesOf(schemas map[string]any, prefix, of, discriminator string, messages map[string]any) []string {
	members, _ := member(schemas, of)["oneOf"].([]any)
	names := make([]string, 0, len(members))
	for _, m := range members {
		payload, _ := m.(map[string]any)
		kinds, _ := member(member(payload, "properties"), discriminator)["enum"].([]any)
		kind, _ := kinds[0].(string)
		name := prefix + "." + kind
		messages[name] = map[string]any{"name": kind, "payload": payload}
		names = append(names, name)
	}
	return names
}

// collect adds to used the schemas that a value refers to, and those that they refer to.
func collect(schemas map[string]any, value any, used map[string]any) {
	switch v := value.(type) {
	case map[string]any:
		if ref, ok := v[refTo].(string); ok {
			if name, is := strings.CutPrefix(ref, schemasAt); is && used[name] == nil {
				used[name] = schemas[name]
				collect(schemas, schemas[name], used)
			}
		}
		for _, inner := range v {
			collect(schemas, inner, used)
		}
	case []any:
		for _, inner := range v {
			collect(schemas, inner, used)
		}
	}
}
