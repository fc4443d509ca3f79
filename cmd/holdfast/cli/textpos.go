package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// position is a byte offset in a text as line and column, from 1, columns in bytes.
func position(text []byte, offset int) (line, column int) {
	before := text[:min(max(offset, 0), len(text))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// syntaxError says where and how a text stops being JSON; "" when it is JSON.
func syntaxError(text []byte) (offset int, message string) {
	var v any
	err := json.Unmarshal(text, &v)
	if err == nil {
		return 0, ""
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return int(e.Offset) - 1, "this is not JSON: " + e.Error()
	}
	return 0, "this is not JSON: " + err.Error()
}

// locate is where the value at a path such as `steps[2].needs[0]` or `files["a.txt"]` starts
// in a JSON text, or the innermost value around it that is there.
func locate(text []byte, path string) int {
	dec := json.NewDecoder(bytes.NewReader(text))
	for _, part := range pathParts(path) {
		at := nextValue(text, dec)
		if !descend(dec, part) {
			return at
		}
	}
	return nextValue(text, dec)
}

// pathParts splits a path into names, and indexes as numbers.
func pathParts(path string) []string {
	var parts []string
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case strings.HasPrefix(path, `["`):
			quoted, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				return parts
			}
			name, _ := strconv.Unquote(quoted)
			parts, path = append(parts, name), strings.TrimPrefix(path[1+len(quoted):], "]")
		case path[0] == '[':
			index, rest, _ := strings.Cut(path[1:], "]")
			parts, path = append(parts, index), rest
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			parts, path = append(parts, path[:end]), path[end:]
		}
	}
	return parts
}

// nextValue is where the next value of the decoder starts.
func nextValue(text []byte, dec *json.Decoder) int {
	at := int(dec.InputOffset())
	for at < len(text) && strings.IndexByte(" \t\r\n,:", text[at]) >= 0 {
		at++
	}
	return at
}

// descend moves into an object or a list, up to the value with this name or index.
func descend(dec *json.Decoder, part string) bool {
	open, err := dec.Token()
	if err != nil || (open != json.Delim('{') && open != json.Delim('[')) {
		return false
	}
	var skipped json.RawMessage
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if open == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				return false
			}
			name, _ = key.(string)
		}
		if name == part {
			return true
		}
		if err := dec.Decode(&skipped); err != nil && !errors.Is(err, io.EOF) {
			return false
		}
	}
	return false
}
