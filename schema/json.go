package schema

import (
	"encoding/json"
	"fmt"
)

// MaxJSONDepth is how deep objects and lists may be nested in JSON that users and programs
// give us to keep: Postgres gives up at some thousands, encoding/json at ten thousand, and a
// person long before.
const MaxJSONDepth = 32

// JSONProblem says why JSON text from outside cannot be kept, or "" when it can. Text that is
// absent can. It reads the text once, and does not follow its nesting by recursion.
func JSONProblem(text json.RawMessage, maxBytes int) string {
	switch {
	case len(text) > maxBytes:
		return fmt.Sprintf("this has %d bytes; at most %d are allowed", len(text), maxBytes)
	case jsonDepth(text) > MaxJSONDepth:
		return fmt.Sprintf("values are nested more than %d deep", MaxJSONDepth)
	case len(text) > 0 && !json.Valid(text):
		return "this is not JSON"
	}
	return ""
}

// jsonDepth is how deep lists and objects are nested, as far as [MaxJSONDepth] and one beyond it.
func jsonDepth(text []byte) int {
	depth, deepest := 0, 0
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
			if deepest = max(deepest, depth); deepest > MaxJSONDepth {
				return deepest
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}
