package cli

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// subjectLines shows everything an approval's digest binds: what deserves a look, what differs
// from the version that was asked about before, each step with all its fields, each file with
// its text. Nothing is left out, and invisible characters are named.
func subjectLines(style terminal.Style, s *schema.Subject) []string {
	if s.Plan == nil {
		return nil
	}
	var lines []string
	if look := attentionWords(s); len(look) > 0 {
		lines = append(lines, style.Bold(style.Red("    deserves a look: "+strings.Join(look, " · "))))
	}
	if s.Before != nil && s.Before.Plan != nil {
		if changed := changedLines(style, s.Before.Plan, s.Plan); len(changed) > 0 {
			lines = append(lines, style.Bold("    changed since it was last asked:"))
			lines = append(lines, changed...)
		}
	}
	for i := range s.Plan.Steps {
		step := &s.Plan.Steps[i]
		lines = append(lines, "    "+style.Bold(visible(step.ID))+titleBeside(step))
		for _, field := range append(stepFields(step, s.Asks[step.ID].Failed), asksField(step, s.Asks)...) {
			for j, text := range strings.Split(strings.TrimSuffix(field.text, "\n"), "\n") {
				label := ""
				if j == 0 {
					label = field.name
				}
				lines = append(lines, fmt.Sprintf("      %s %s", style.Dim(fmt.Sprintf("%-9s", label)), visible(text)))
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.Plan.Files)) {
		text := fileLines(s.Plan.Files[path])
		lines = append(lines, "    "+style.Bold(visible(path))+style.Dim("  a file, "+counted(len(text), "line")))
		for i, line := range text {
			lines = append(lines, style.Dim(fmt.Sprintf("    %5d │ ", i+1))+visible(line))
		}
	}
	return lines
}

func titleBeside(s *schema.PlanStep) string {
	if s.Title == "" || s.Title == s.ID {
		return ""
	}
	return "  " + visible(s.Title)
}

type stepField struct{ name, text string }

// stepFields are a step's fields, with the default for those that are not set. asksFailed says
// that the session asks when the step has failed, whatever its plan says.
func stepFields(s *schema.PlanStep, asksFailed bool) []stepField {
	var fields []stepField
	add := func(name, text string) { fields = append(fields, stepField{name, text}) }
	switch s.Kind() {
	case schema.KindRun:
		add("run", shellWords(s.Run))
	case schema.KindAgent:
		add("agent", s.Agent+": "+s.Task)
	case schema.KindShell:
		add("shell", s.Shell)
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		env = append(env, name+"="+shellWord(s.Env[name]))
	}
	if env != nil {
		add("env", strings.Join(env, "\n"))
	}
	if len(s.Needs) > 0 {
		add("after", strings.Join(s.Needs, ", "))
	}
	network := "off"
	if s.Networked() {
		network = "allowed, everything outside this host"
		if allow := s.NetworkAllow(); allow != nil {
			network = "allowed: " + strings.Join(allow, ", ")
		}
	}
	add("network", network)
	limit := func(value, none string) string {
		if value == "" {
			return none
		}
		return "at most " + value
	}
	cores := ""
	if s.CPU > 0 {
		cores = fmt.Sprintf("%g cores", s.CPU)
	}
	add("limits", strings.Join([]string{limit(s.Timeout, "no limit on time"), limit(s.Memory, "no limit on memory"), limit(cores, "no limit on cores")}, ", "))
	onError := s.OnError
	if asksFailed {
		onError = schema.OnErrorAsk
	}
	add("failing", map[schema.OnError]string{
		schema.OnErrorAsk: "somebody is asked", schema.OnErrorContinue: "the run goes on without it", schema.OnErrorFail: "the run fails", "": "the run fails",
	}[onError]+", tried again "+counted(s.Retries, "time")+" before")
	return fields
}

const asksName = "asks"

// asksField says when a step asks, and what happens when nobody answers.
func asksField(s *schema.PlanStep, asks map[string]schema.StepAsks) []stepField {
	is, ok := asks[s.ID]
	switch {
	case !ok:
		return saidAsks(s)
	case is.First:
		return []stepField{{asksName, "first; with no answer: " + string(is.OnTimeout)}}
	default:
		return []stepField{{asksName, "when it has failed; with no answer: " + string(is.OnTimeout)}}
	}
}

// saidAsks is what the plan alone says about that.
func saidAsks(s *schema.PlanStep) []stepField {
	if !s.Approval && s.OnTimeout == "" {
		return nil
	}
	text := "as the session says"
	if s.Approval {
		text = "first"
	}
	if s.OnTimeout != "" {
		text += "; with no answer: " + string(s.OnTimeout)
	}
	return []stepField{{asksName, text}}
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

func fileLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// visible replaces every invisible character in a line of somebody else's text by its name, so
// that the terminal obeys none of them and nobody overlooks one.
func visible(line string) string {
	line = strings.TrimSuffix(line, "\r")
	if !strings.ContainsFunc(line, func(r rune) bool { return schema.IsInvisible(r) || r == '\r' || r == '\n' }) {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		if schema.IsInvisible(r) || r == '\r' || r == '\n' {
			fmt.Fprintf(&b, "<U+%04X>", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

var attentionNames = map[schema.AttentionKind]string{
	schema.AttentionNetwork: "network", schema.AttentionEnv: "changes what is loaded", schema.AttentionRemoteCode: "runs fetched code",
	schema.AttentionDelete: "deletes", schema.AttentionSecret: "secret", schema.AttentionPrivilege: "changes permissions",
	schema.AttentionHidden: "hidden characters", schema.AttentionApprovesItself: "approves itself", schema.AttentionGoesOn: "goes on if it fails",
}

func attentionWords(s *schema.Subject) []string {
	var words []string
	if s.OnTimeout == schema.OnTimeoutApprove {
		words = append(words, "approves itself if nobody answers")
	}
	for _, a := range s.Attention {
		if a.Kind == schema.AttentionMore {
			words = append(words, visible(a.Found)+" more are not listed")
			continue
		}
		text := attentionNames[a.Kind]
		if text == "" {
			text = terminal.Clean(string(a.Kind))
		}
		if a.Found != "" {
			text += " (" + visible(a.Found) + ")"
		}
		if place := a.File + a.StepID; place != "" {
			text += " in " + visible(place)
		}
		words = append(words, text)
	}
	return words
}
