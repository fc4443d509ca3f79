package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// options are the answers a program offers.
type options []string

// askOptions are a question's options; none unless a program asks.
func askOptions(t schema.ApprovalType, context json.RawMessage) options {
	var c struct {
		Options options `json:"options"`
	}
	if t != schema.ApprovalProgramAsk || json.Unmarshal(context, &c) != nil {
		return nil
	}
	return c.Options
}

// numbered reports whether options can be chosen by position: not when one of them is itself
// a number, since "2" could then mean two things.
func (o options) numbered() bool {
	return !slices.ContainsFunc(o, func(s string) bool {
		_, err := strconv.Atoi(strings.TrimSpace(s))
		return err == nil
	})
}

// lines shows the options.
func (o options) lines(style terminal.Style) []string {
	lines := make([]string, 0, len(o))
	for i, s := range o {
		key := "·"
		if o.numbered() {
			key = strconv.Itoa(i + 1)
		}
		lines = append(lines, "  "+style.Bold(key)+"  "+terminal.Clean(s))
	}
	return lines
}

// pick finds the option that a line names: by its text, or by its number.
func (o options) pick(line string) (option string, ok bool) {
	if i := slices.IndexFunc(o, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), line) }); i >= 0 {
		return o[i], true
	}
	if n, err := strconv.Atoi(line); err == nil && o.numbered() && n >= 1 && n <= len(o) {
		return o[n-1], true
	}
	return "", false
}

// question asks for one of the options.
func (o options) question(extras ...string) string {
	choice := "an option"
	if o.numbered() {
		choice = "1"
		if len(o) > 1 {
			choice = fmt.Sprintf("1-%d", len(o))
		}
	}
	return "Answer? " + strings.Join(append(append([]string{"[" + choice + "]", "[a] and your own words", "[r]eject"}, extras...), "[q]uit watching"), " / ") + ": "
}

// askLines shows what a program sends along with its question: all of it, since a yes is to all of it, with invisible
// characters named. Its options may be left out where they are shown as answers.
func askLines(style terminal.Style, context json.RawMessage, withoutOptions bool) []string {
	if len(context) == 0 {
		return nil
	}
	var c map[string]json.RawMessage
	if json.Unmarshal(context, &c) != nil { // any JSON may be shown
		return factLines("    ", context)
	}
	if withoutOptions {
		delete(c, "options")
	}
	if inner, only := c["context"]; only && len(c) == 1 {
		var object map[string]json.RawMessage
		if json.Unmarshal(inner, &object) != nil {
			return factLines("    ", inner)
		}
		c = object
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		lines = append(lines, factLines("    "+style.Dim(visible(name)+":")+" ", c[name])...)
	}
	return lines
}

// factLines shows a value after its label: a text without quotes, anything else as JSON, over several lines when it is
// long.
func factLines(label string, value json.RawMessage) []string {
	const long = 100
	var text string
	if json.Unmarshal(value, &text) != nil {
		var wide bytes.Buffer
		text = string(value)
		if len(value) > long && json.Indent(&wide, value, "", "  ") == nil {
			text = wide.String()
		}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = "      " + visible(line)
		if i == 0 {
			lines[i] = label + visible(line)
		}
	}
	return lines
}
