package schema

import (
	"slices"
	"strings"
	"unicode"
)

// Names of the product itself as an actor, in events and in the audit trail.
const (
	ActorHoldfast  = "holdfast"  // nobody asked: a policy decided, or a fault was repaired
	ActorRetention = "retention" // a session's retention time was over
	ActorTemporal  = "temporal"  // somebody using Temporal's tools, which do not say who
)

// ReservedActor reports whether a name belongs to the product itself, its steps or its tokens. No
// person may have such a name.
func ReservedActor(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == ':' || unicode.IsSpace(r) })
	return len(words) > 0 && slices.Contains([]string{ActorHoldfast, ActorRetention, ActorTemporal, "system", "step", "token", "service"}, words[0])
}
