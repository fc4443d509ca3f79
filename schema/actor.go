package schema

import (
	"slices"
	"strings"
	"unicode"
)

// The names under which the product itself acts, in events and in the audit trail.
const (
	ActorHoldfast  = "holdfast"  // nobody asked: a policy decided, or a fault was mended
	ActorRetention = "retention" // a session's time was over
	ActorTemporal  = "temporal"  // somebody with Temporal's tools, which do not say who uses them
)

// ReservedActor reports whether a name is one of the product itself, its steps or its tokens, so
// that no person may have it.
func ReservedActor(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == ':' || unicode.IsSpace(r) })
	return len(words) > 0 && slices.Contains([]string{ActorHoldfast, ActorRetention, ActorTemporal, "system", "step", "token", "service"}, words[0])
}
