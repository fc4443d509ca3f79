package supervisor

import (
	"math"
	"strconv"
	"strings"
)

const (
	// directive starts a line that is meant for Holdfast. Such a line is not output.
	directive = "##holdfast "
	// maxNote limits the note of a progress line, in bytes.
	maxNote = 1 << 10
)

// A Progress is what a program reported with a line such as
//
// |       ##holdfast progress=0.42 note="so far"
type Progress struct {
	Progress *float64 `json:"progress,omitempty"` // from 0 to 1
	Note     string   `json:"note,omitempty"`
}

// parseDirective reads a line. A line that it does not understand is output, so that its author
// sees that it did nothing.
func parseDirective(line []byte) (Progress, bool) {
	rest, ok := strings.CutPrefix(strings.TrimRight(string(line), " \t"), directive)
	var p Progress
	seen := false
	for ok && rest != "" {
		var name, value string
		if name, rest, ok = strings.Cut(strings.TrimLeft(rest, " \t"), "="); !ok {
			break
		}
		if value, rest, ok = cutValue(rest); !ok {
			break
		}
		switch name {
		case "progress":
			n, err := strconv.ParseFloat(value, 64)
			if err != nil || math.IsNaN(n) {
				return Progress{}, false
			}
			n = min(max(n, 0), 1)
			p.Progress = &n
		case "note":
			p.Note = strings.ToValidUTF8(value[:min(len(value), maxNote)], "")
		default:
			return Progress{}, false
		}
		seen = true
	}
	return p, ok && seen
}

// cutValue cuts off a value: a word, or a Go string in double quotes.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, " ")
		return value, rest, value != ""
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	rest = s[len(quoted):]
	return value, rest, err == nil && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}
