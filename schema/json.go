package schema

import (
	"encoding/json"
	"fmt"
)

// MaxJSONDepth is how deep objects and lists may be nested in JSON that users and programs give us
// to store: Postgres gives up at some thousands, encoding/json at ten thousand, and a person long
// before.
const MaxJSONDepth = 32

// JSONProblem says why JSON text from outside cannot be stored, or "" if it can. Absent text can.
// It reads the text once, without recursion.
func JSONProblem(text json.RawMessage, maxBytes int) string {
	switch {
	case len(text) > maxBytes:
		return fmt.Sprintf("this has %d bytes; at most %d are allowed", len(text), maxBytes)
	case NestedDeeper(text, MaxJSONDepth):
		return fmt.Sprintf("values are nested more than %d deep", MaxJSONDepth)
	case len(text) > 0 && !json.Valid(text):
		return "this is not JSON"
	}
	return ""
}

// NestedDeeper reports whether lists and objects are nested deeper than most.
func NestedDeeper(text json.RawMessage, most int) bool {
	depth := 0
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
			if depth++; depth > most {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
