package schema

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// PlanProblem says what is wrong at one place of a plan's text. Line and Column count
// from 1, columns in bytes; Location is a path such as `steps[2].needs[0]`.
type PlanProblem struct {
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Location string `json:"location"`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}

// maxProblems bounds the answer to a hopeless plan: the parser stops looking after that many.
const maxProblems = 50

var (
	stepIDPattern = lazy(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	envPattern    = lazy(`^[A-Za-z_][A-Za-z0-9_]*$`)
	memoryPattern = lazy(`^[1-9][0-9]{0,9}(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$`)
)

// ParsePlan reads a plan from JSON text and checks every rule, in time that depends only on the
// length of the text. It returns the plan, or its problems in the order of the text:
//
//   - it is at most [MaxPlanBytes] of JSON, with no unknown or repeated field;
//   - there are 1 to [MaxSteps] steps, with ids that are unique;
//   - a step is exactly one of run, shell and agent;
//   - needs name other steps of the plan, at most [MaxNeeds] for a step, and make no cycle;
//   - there are at most [MaxFiles] files; their paths are relative, clean and stay inside the
//     workspace.
func ParsePlan(text []byte) (*Plan, []PlanProblem) {
	p := planParser{text: text}
	if len(text) > MaxPlanBytes {
		p.add(0, "", fmt.Sprintf("the plan has %d bytes; at most %d are allowed", len(text), MaxPlanBytes), nil)
		return nil, p.problems
	}
	root, err := parseNode(text)
	if err != nil {
		p.add(err.offset, "", err.message, nil)
		return nil, p.problems
	}
	plan := p.plan(root)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b PlanProblem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, p.problems
	}
	return plan, nil
}

type planParser struct {
	text     []byte
	problems []PlanProblem
	lines    []int // where each line starts, computed on first use
}

// full reports whether maxProblems have been found.
func (p *planParser) full() bool { return len(p.problems) >= maxProblems }

func (p *planParser) add(offset int, location, message string, value any) {
	if p.full() {
		return
	}
	line, column := p.position(min(max(offset, 0), len(p.text)))
	if s, ok := value.(string); ok {
		value = brief(s)
	}
	p.problems = append(p.problems, PlanProblem{Line: line, Column: column, Location: location, Message: message, Value: value})
}

// position is the line and column of an offset in the text.
func (p *planParser) position(offset int) (line, column int) {
	if p.lines == nil {
		p.lines = []int{0}
		for i, c := range p.text {
			if c == '\n' {
				p.lines = append(p.lines, i+1)
			}
		}
	}
	line, found := slices.BinarySearch(p.lines, offset)
	if found {
		line++
	}
	return line, offset - p.lines[line-1] + 1
}

func (p *planParser) plan(root *node) *Plan {
	plan := &Plan{}
	p.object(root, "", fields{
		"steps": func(n *node, at string) { plan.Steps = p.steps(n, at) },
		"files": func(n *node, at string) { plan.Files = p.files(n, at) },
	}, "steps")
	return plan
}

// stepAt remembers the position of a step, for the checks that need all steps.
type stepAt struct {
	node  *node
	needs *node
	at    string
}

func (p *planParser) steps(n *node, at string) []PlanStep {
	items, ok := p.list(n, at)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		p.add(n.offset, at, "a plan needs at least one step", nil)
	}
	if len(items) > MaxSteps {
		p.add(n.offset, at, fmt.Sprintf("the plan has %d steps; at most %d are allowed", len(items), MaxSteps), nil)
		return nil
	}
	steps := make([]PlanStep, len(items))
	where := make([]stepAt, len(items))
	index := map[string]int{}
	for i, item := range items {
		if p.full() {
			return nil
		}
		where[i] = stepAt{node: item, at: fmt.Sprintf("%s[%d]", at, i)}
		p.step(&steps[i], &where[i])
		id := steps[i].ID
		if id == "" {
			continue
		}
		if first, dup := index[id]; dup {
			p.add(item.at("id"), where[i].at+".id", fmt.Sprintf("the step id %q is already used by steps[%d]", id, first), id)
			continue
		}
		index[id] = i
	}
	p.graph(steps, where, index)
	return steps
}

func (p *planParser) step(s *PlanStep, w *stepAt) {
	at := w.at
	ok := p.object(w.node, at, fields{
		"id": func(n *node, at string) {
			s.ID = p.matching(n, at, stepIDPattern(), "a step id is 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit")
		},
		"title":    func(n *node, at string) { s.Title = p.line(n, at, MaxTitle) },
		"run":      func(n *node, at string) { s.Run = p.command(n, at) },
		"shell":    func(n *node, at string) { s.Shell = p.nonEmpty(n, at) },
		"agent":    func(n *node, at string) { s.Agent = p.nonEmpty(n, at) },
		"task":     func(n *node, at string) { s.Task = p.nonEmpty(n, at) },
		"needs":    func(n *node, at string) { s.Needs = p.needs(n, at); w.needs = n },
		"approval": func(n *node, at string) { s.Approval = p.boolean(n, at) },
		"timeout":  func(n *node, at string) { s.Timeout = p.duration(n, at) },
		"retries":  func(n *node, at string) { s.Retries = int(p.number(n, at, 0, MaxRetries, true)) },
		"env":      func(n *node, at string) { s.Env = p.env(n, at) },
		"network":  func(n *node, at string) { s.Network = p.network(n, at) },
		"memory": func(n *node, at string) {
			s.Memory = p.matching(n, at, memoryPattern(), `a memory limit is a number with a unit, such as "512MiB" or "2GiB"`)
		},
		"cpu": func(n *node, at string) { s.CPU = p.number(n, at, 0.01, 1024, false) },
		"on_timeout": func(n *node, at string) {
			s.OnTimeout = OnTimeout(p.oneOf(n, at, string(OnTimeoutSuspend), string(OnTimeoutReject), string(OnTimeoutApprove), string(OnTimeoutEscalate)))
		},
		"on_error": func(n *node, at string) {
			s.OnError = OnError(p.oneOf(n, at, string(OnErrorFail), string(OnErrorAsk), string(OnErrorContinue)))
		},
	}, "id")
	if !ok {
		return
	}
	kinds := make([]string, 0, 3) // those present
	for _, k := range []StepKind{KindRun, KindShell, KindAgent} {
		if w.node.field(string(k)) != nil {
			kinds = append(kinds, string(k))
		}
	}
	switch {
	case len(kinds) == 0:
		p.add(w.node.offset, at, `a step is exactly one of "run", "shell" and "agent"; this one has none of them`, nil)
	case len(kinds) > 1:
		p.add(w.node.at(kinds[1]), at, `a step is exactly one of "run", "shell" and "agent"; this one has `+strings.Join(kinds, " and "), nil)
	case kinds[0] == string(KindAgent) && w.node.field("task") == nil:
		p.add(w.node.offset, at, `an agent step needs a "task"`, nil)
	case kinds[0] != string(KindAgent) && w.node.field("task") != nil:
		p.add(w.node.at("task"), at+".task", `"task" belongs to an agent step`, nil)
	}
}

func (p *planParser) needs(n *node, at string) []string {
	if len(n.items) > MaxNeeds {
		p.add(n.offset, at, fmt.Sprintf("the step has %d needs; at most %d are allowed", len(n.items), MaxNeeds), nil)
		return nil
	}
	return p.strings(n, at)
}

// graph checks that needs refer to other steps and form no cycle.
func (p *planParser) graph(steps []PlanStep, where []stepAt, index map[string]int) {
	for i := range steps {
		seen := make(map[string]bool, len(steps[i].Needs))
		for j, need := range steps[i].Needs {
			if p.full() {
				return
			}
			wrong := func(message string) {
				p.add(where[i].needs.items[j].offset, where[i].at+".needs["+strconv.Itoa(j)+"]", message, need)
			}
			_, known := index[need]
			switch {
			case need == steps[i].ID:
				wrong(fmt.Sprintf("step %q needs itself", need))
			case !known:
				wrong("there is no step " + quoted(need) + "; the steps are " + quotedList(steps))
			case seen[need]:
				wrong(fmt.Sprintf("step %q is named twice", need))
			}
			seen[need] = true
		}
	}
	if cycle := findCycle(steps, index); cycle != nil {
		i := index[cycle[0]]
		p.add(where[i].needs.offset, where[i].at+".needs", "these steps need each other in a circle: "+strings.Join(cycle, " needs "), nil)
	}
}

// findCycle returns the ids along a cycle, with the first repeated at the end, or nil. It skips a
// step that needs itself: that has its own message.
func findCycle(steps []PlanStep, index map[string]int) []string {
	const (
		visiting = 1
		done     = 2
	)
	state := make([]int, len(steps))
	var trail []string
	var visit func(i int) []string
	visit = func(i int) []string {
		state[i] = visiting
		trail = append(trail, steps[i].ID)
		for _, need := range steps[i].Needs {
			j, known := index[need]
			if !known || j == i {
				continue
			}
			if state[j] == visiting {
				start := slices.Index(trail, need)
				return append(slices.Clone(trail[start:]), need)
			}
			if state[j] == 0 {
				if cycle := visit(j); cycle != nil {
					return cycle
				}
			}
		}
		state[i] = done
		trail = trail[:len(trail)-1]
		return nil
	}
	for i := range steps {
		if _, named := index[steps[i].ID]; named && state[i] == 0 {
			if cycle := visit(i); cycle != nil {
				return cycle
			}
		}
	}
	return nil
}

func (p *planParser) files(n *node, at string) map[string]string {
	files := map[string]string{}
	if !p.is(n, at, kindObject, "an object of path to text") {
		return nil
	}
	if len(n.fields) > MaxFiles {
		p.add(n.offset, at, fmt.Sprintf("the plan has %d files; at most %d are allowed", len(n.fields), MaxFiles), nil)
		return nil
	}
	for _, f := range n.fields {
		if p.full() {
			return nil
		}
		why := badPlanPath(f.name)
		switch {
		case why != "":
			p.add(f.offset, at+"["+quoted(f.name)+"]", why, f.name)
		case f.value.kind != kindString:
			p.is(f.value, at+"["+quoted(f.name)+"]", kindString, "the file's text")
		default:
			files[f.name] = f.value.text
		}
	}
	p.clashes(n, at, files)
	return files
}

// clashes finds files that are also folders. It sorts / before everything else, so that a folder's
// contents directly follow it.
func (p *planParser) clashes(n *node, at string, files map[string]string) {
	names := make([]string, 0, len(files))
	for _, f := range n.fields {
		if _, taken := files[f.name]; taken {
			names = append(names, strings.ReplaceAll(f.name, "/", "\x00"))
		}
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if folder := names[i-1]; strings.HasPrefix(names[i], folder+"\x00") {
			folder, file := strings.ReplaceAll(folder, "\x00", "/"), strings.ReplaceAll(names[i], "\x00", "/")
			p.add(n.offset, at, fmt.Sprintf("%s cannot be both a file and a folder (of %s)", quoted(folder), quoted(file)), folder)
		}
	}
}

// MaxPath is the longest path of a file in a workspace, in bytes. Linux accepts no longer ones.
const MaxPath = 4096

// badPlanPath is BadPath for the files of a plan, which are written to the workspace. Files below Holdfast's own folder
// there would not be in any snapshot.
func badPlanPath(name string) string {
	const most = 1024
	switch why := BadPath(name); {
	case why != "":
		return why
	case len(name) > most:
		return fmt.Sprintf("a file path of a plan has at most %d bytes", most)
	case name == WorkspacePrivate || strings.HasPrefix(name, WorkspacePrivate+"/"):
		return "what is below " + WorkspacePrivate + "/ in a workspace is Holdfast's own"
	}
	return ""
}

// BadPath says why a path cannot name a workspace file, or "" when it can: it must be
// relative, slash-separated, clean, and stay inside the workspace.
func BadPath(name string) string {
	switch {
	case name == "":
		return "a file path is not empty"
	case len(name) > MaxPath:
		return fmt.Sprintf("a file path has at most %d bytes", MaxPath)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return "a file path is UTF-8 text without NUL"
	case strings.HasPrefix(name, "/"):
		return "a file path is relative to the workspace; it does not start with /"
	case path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return "a file path stays inside the workspace: no empty, . or .. parts and no / at the end"
	}
	return ""
}

func (p *planParser) env(n *node, at string) map[string]string {
	if !p.is(n, at, kindObject, "an object of name to value") {
		return nil
	}
	env := make(map[string]string, len(n.fields))
	for _, f := range n.fields {
		if p.full() {
			return nil
		}
		here := at + "." + brief(f.name)
		switch {
		case !envPattern().MatchString(f.name):
			p.add(f.offset, here, "a variable name is letters, digits and underscores, and does not start with a digit", f.name)
		case strings.HasPrefix(f.name, "HOLDFAST_"):
			p.add(f.offset, here, "names that start with HOLDFAST_ are set by Holdfast", f.name)
		case p.is(f.value, here, kindString, "text"):
			if strings.ContainsRune(f.value.text, 0) {
				p.add(f.value.offset, here, "a variable's value has no NUL", nil)
			}
			env[f.name] = f.value.text
		}
	}
	return env
}

// minTimeout is the supervisor's unit of time: anything less would be no timeout at all.
const minTimeout = time.Millisecond

func (p *planParser) duration(n *node, at string) string {
	if !p.is(n, at, kindString, `a duration such as "90s", "30m" or "2h"`) {
		return ""
	}
	d, err := ParseDuration(n.text)
	if err != nil || d < minTimeout || d > MaxTimeout {
		p.add(n.offset, at, `a timeout is a duration such as "90s", "30m" or "2h", from 1ms to 720h`, n.text)
		return ""
	}
	return n.text
}

func quotedList(steps []PlanStep) string {
	const most = 8
	ids := make([]string, 0, most+1)
	for i := range steps {
		if i == most {
			ids = append(ids, "…")
			break
		}
		ids = append(ids, quoted(steps[i].ID))
	}
	return strings.Join(ids, ", ")
}

// quoted is a name from the text in quotes, cut to a length that fits a message.
func quoted(name string) string { return strconv.Quote(brief(name)) }

func brief(name string) string {
	const most = 100
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

func stepLocation(i int, field string) string { return fmt.Sprintf("steps[%d].%s", i, field) }
