package schema_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestParsePlan_ReadsEveryField(t *testing.T) {
	t.Parallel()
	const text = `{
  "steps": [
    {"id": "simulate", "title": "Simulate", "run": ["python3", "simulate.py"], "timeout": "30m", "retries": 1,
     "env": {"SEED": "7"}, "network": true, "memory": "512MiB", "cpu": 1.5, "on_timeout": "reject", "on_error": "continue"},
    {"id": "plot", "shell": "python3 plot.py > out.svg", "needs": ["simulate"], "approval": true},
    {"id": "explain", "agent": "researcher", "task": "why?", "needs": ["plot"]}
  ],
  "files": {"simulate.py": "print(1)\n", "lib/a.py": ""}
}`
	plan, problems := schema.ParsePlan([]byte(text))
	if problems != nil {
		t.Fatalf("problems: %+v", problems)
	}
	var same any
	var want any
	if err := json.Unmarshal(schema.Marshal(plan), &same); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if got, want := string(schema.Marshal(same)), string(schema.Marshal(want)); got != want {
		t.Fatalf("read back\n%s\nwant\n%s", got, want)
	}
	if len(plan.Unsupported()) != 1 { // the agent
		t.Fatalf("unsupported: %+v", plan.Unsupported())
	}
}

func TestParsePlan_SaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	const ok = `{"id":"a","shell":"true"}`
	for _, c := range []struct {
		name, text         string
		line, column       int
		location, contains string
	}{
		{"nothing", " \n", 1, 1, "", "the plan is empty"},
		{"not JSON", "{\"steps\": [\n  {\"id\": }\n]}", 2, 10, "", "this is not JSON"},
		{"cut off", "{\"steps\": [", 1, 12, "", "ends too early"},
		{"more behind", `{"steps":[` + ok + `]} {}`, 1, 39, "", "more text after the end"},
		{"a list", `[]`, 1, 1, "", "this is a list; it must be an object"},
		{"no steps", `{}`, 1, 1, "", `the field "steps" is missing`},
		{"empty steps", `{"steps":[]}`, 1, 10, "steps", "at least one step"},
		{"unknown field", `{"steps":[` + ok + `],"stepz":1}`, 1, 38, "stepz", "allowed are files, steps"},
		{"unknown step field", `{"steps":[{"id":"a","shell":"true","retry":1}]}`, 1, 36, "steps[0].retry", "retries, run"},
		{"field twice", `{"steps":[{"id":"a","id":"b","shell":"x"}]}`, 1, 21, "", `"id" is given twice`},
		{"no id", `{"steps":[{"shell":"true"}]}`, 1, 11, "steps[0]", `the field "id" is missing`},
		{"bad id", `{"steps":[{"id":"a b","shell":"true"}]}`, 1, 17, "steps[0].id", "a step id is 1 to 64"},
		{"id twice", "{\"steps\":[" + ok + ",\n" + ok + "]}", 2, 7, "steps[1].id", "already used by steps[0]"},
		{"no kind", `{"steps":[{"id":"a"}]}`, 1, 11, "steps[0]", "has none of them"},
		{"two kinds", `{"steps":[{"id":"a","run":["x"],"shell":"y"}]}`, 1, 41, "steps[0]", "run and shell"},
		{"empty run", `{"steps":[{"id":"a","run":[]}]}`, 1, 27, "steps[0].run", "must name a program"},
		{"run as text", `{"steps":[{"id":"a","run":"ls -l"}]}`, 1, 27, "steps[0].run", "this is a string; it must be a list"},
		{"number for text", `{"steps":[{"id":"a","shell":7}]}`, 1, 29, "steps[0].shell", "this is a number; it must be a string"},
		{"agent without task", `{"steps":[{"id":"a","agent":"x"}]}`, 1, 11, "steps[0]", `needs a "task"`},
		{"task without agent", `{"steps":[{"id":"a","shell":"x","task":"y"}]}`, 1, 40, "steps[0].task", "belongs to an agent"},
		{"missing need", `{"steps":[{"id":"a","shell":"x","needs":["b"]}]}`, 1, 42, "steps[0].needs[0]", `there is no step "b"`},
		{"needs itself", `{"steps":[{"id":"a","shell":"x","needs":["a"]}]}`, 1, 42, "steps[0].needs[0]", "needs itself"},
		{"cycle", "{\"steps\":[\n{\"id\":\"a\",\"shell\":\"x\",\"needs\":[\"b\"]},\n{\"id\":\"b\",\"shell\":\"x\",\"needs\":[\"a\"]}]}", 2, 31, "steps[0].needs", "a needs b needs a"},
		{"bad timeout", `{"steps":[{"id":"a","shell":"x","timeout":"10"}]}`, 1, 43, "steps[0].timeout", "a duration such as"},
		{"retries", `{"steps":[{"id":"a","shell":"x","retries":1.5}]}`, 1, 43, "steps[0].retries", "a whole number from 0 to 10"},
		{"memory", `{"steps":[{"id":"a","shell":"x","memory":"lots"}]}`, 1, 42, "steps[0].memory", "a number with a unit"},
		{"on_error", `{"steps":[{"id":"a","shell":"x","on_error":"shrug"}]}`, 1, 44, "steps[0].on_error", "fail, ask, continue"},
		{"env name", `{"steps":[{"id":"a","shell":"x","env":{"A-B":"c"}}]}`, 1, 40, "steps[0].env.A-B", "letters, digits and underscores"},
		{"our env", `{"steps":[{"id":"a","shell":"x","env":{"HOLDFAST_X":"c"}}]}`, 1, 40, "steps[0].env.HOLDFAST_X", "set by Holdfast"},
		{"file outside", `{"steps":[` + ok + `],"files":{"../x":""}}`, 1, 47, `files["../x"]`, "stays inside the workspace"},
		{"file from the root", `{"steps":[` + ok + `],"files":{"/etc/x":""}}`, 1, 47, `files["/etc/x"]`, "does not start with /"},
		{"file in a file", `{"steps":[` + ok + `],"files":{"a":"","a/b":""}}`, 1, 46, "files", "both a file and a folder"},
		{"deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), 1, 18, "", "nested more than 16 deep"},
		{"not UTF-8", "{\"steps\xff", 1, 1, "", "not UTF-8"},
		{"too long", `{"steps":[` + strings.Repeat(" ", schema.MaxPlanBytes), 1, 1, "", "at most 1048576 are allowed"},
		{"too many", `{"steps":[` + strings.Repeat(ok+",", schema.MaxSteps) + ok + `]}`, 1, 10, "steps", "at most 500 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plan, problems := schema.ParsePlan([]byte(c.text))
			if plan != nil || len(problems) == 0 {
				t.Fatalf("plan %+v, problems %+v", plan, problems)
			}
			p := problems[0]
			if p.Line != c.line || p.Column != c.column || p.Location != c.location || !strings.Contains(p.Message, c.contains) {
				t.Fatalf("got %d:%d %q: %s\nwant %d:%d %q: …%s…", p.Line, p.Column, p.Location, p.Message, c.line, c.column, c.location, c.contains)
			}
		})
	}
}

func TestParsePlan_ReportsEveryProblemInTheOrderOfTheText(t *testing.T) {
	t.Parallel()
	_, problems := schema.ParsePlan([]byte("{\"steps\":[\n{\"id\":\"a\"},\n{\"id\":\"b\",\"shell\":\"x\",\"needs\":[\"c\"]},\n{\"shell\":1}]}"))
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprint(p.Line, " ", p.Location))
	}
	if got := strings.Join(lines, ", "); got != "2 steps[0], 3 steps[1].needs[0], 4 steps[2], 4 steps[2].shell" {
		t.Fatalf("problems at %s", got)
	}
}

func TestDigest_NamesExactlyWhatIsApproved(t *testing.T) {
	t.Parallel()
	parse := func(text string) *schema.Plan {
		plan, problems := schema.ParsePlan([]byte(text))
		if problems != nil {
			t.Fatalf("problems: %+v", problems)
		}
		return plan
	}
	a := parse(`{"steps":[{"id":"a","shell":"echo 1"},{"id":"b","shell":"x"}],"files":{"f":"1"}}`)
	spaced := parse(`{ "files": {"f": "1"}, "steps": [ {"shell": "echo 1", "id": "a"}, {"id": "b", "shell": "x"} ] }`)
	other := parse(`{"steps":[{"id":"a","shell":"echo 2"},{"id":"b","shell":"x"}],"files":{"f":"1"}}`)
	file := parse(`{"steps":[{"id":"a","shell":"echo 1"},{"id":"b","shell":"x"}],"files":{"f":"2"}}`)
	if a.Digest() != spaced.Digest() {
		t.Error("the same plan in another spelling has another digest")
	}
	if a.Digest() == other.Digest() || a.StepDigest(&a.Steps[0]) == other.StepDigest(&other.Steps[0]) {
		t.Error("another command has the same digest")
	}
	if a.StepDigest(&a.Steps[1]) != other.StepDigest(&other.Steps[1]) {
		t.Error("a step's digest depends on another step")
	}
	if a.StepDigest(&a.Steps[0]) == file.StepDigest(&file.Steps[0]) {
		t.Error("a step that may read another file has the same digest")
	}
}

func TestMemoryBytes_UnderstandsEveryUnit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, "7B": 7, "2KB": 2000, "2KiB": 2048, "512MiB": 512 << 20, "3GB": 3e9, "1TiB": 1 << 40, "9999999999TiB": math.MaxInt64} {
		if got := (&schema.PlanStep{Memory: text}).MemoryBytes(); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestParsePlan_RefusesWhatWouldBeLost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"steps": [{"id": "a", "shell": "true", "timeout": "999us"}]}`:                                  "from 1ms to 720h",
		`{"steps": [{"id": "a", "shell": "true", "timeout": "1ns"}]}`:                                    "from 1ms to 720h",
		`{"steps": [{"id": "a", "shell": "true"}], "files": {".holdfast/x": "1"}}`:                       "is Holdfast's own",
		`{"steps": [{"id": "a", "shell": "true"}], "files": {".holdfast": "1"}}`:                         "is Holdfast's own",
		`{"steps": [{"id": "a", "shell": "true"}], "files": {"` + strings.Repeat("x", 1025) + `": "1"}}`: "at most 1024 bytes",
	} {
		if _, problems := schema.ParsePlan([]byte(text)); len(problems) == 0 || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%.60s: %+v", text, problems)
		}
	}
	for _, text := range []string{
		`{"steps": [{"id": "a", "shell": "true", "timeout": "1ms"}], "files": {".holdfastx": "1", "d/.holdfast/x": "1"}}`,
	} {
		if _, problems := schema.ParsePlan([]byte(text)); len(problems) > 0 {
			t.Errorf("%s: %+v", text, problems)
		}
	}
	if schema.BadPath(strings.Repeat("x/", 2000)+"x") != "" || schema.BadPath(strings.Repeat("x/", 2048)+"x") == "" {
		t.Error("a workspace file has a path of at most 4096 bytes")
	}
}
