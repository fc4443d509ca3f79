package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// hopeless are texts of about a megabyte that are expensive for a parser which looks at anything
// repeatedly.
func hopeless() map[string]string {
	const step = `{"steps":[{"id":"a","shell":"x"`
	many := func(n int, one func(i int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = one(i)
		}
		return strings.Join(parts, ",")
	}
	deep := strings.Repeat("d/", 500)
	return map[string]string{
		"needs that are not there": step + `,"needs":[` + many(240_000, func(int) string { return `"b"` }) + `]}]}`,
		"needs in many steps": `{"steps":[` + many(500, func(i int) string {
			return fmt.Sprintf(`{"id":"s%d","shell":"x","needs":[%s]}`, i, many(480, func(int) string { return `"b"` }))
		}) + `]}`,
		"tiny files":       step + `}],"files":{` + many(60_000, func(i int) string { return fmt.Sprintf(`"f%d":""`, i) }) + `}}`,
		"files far below":  step + `}],"files":{` + many(1_000, func(i int) string { return fmt.Sprintf(`"%sf%d":""`, deep, i) }) + `}}`,
		"bad files":        step + `}],"files":{` + many(60_000, func(i int) string { return fmt.Sprintf(`"/%d":0`, i) }) + `}}`,
		"bad variables":    step + `,"env":{` + many(60_000, func(i int) string { return fmt.Sprintf(`"%d":""`, i) }) + `}}]}`,
		"many variables":   step + `,"env":{` + many(60_000, func(i int) string { return fmt.Sprintf(`"V%d":""`, i) }) + `}}]}`,
		"unknown fields":   step + `,` + many(60_000, func(i int) string { return fmt.Sprintf(`"x%d":0`, i) }) + `}]}`,
		"lines":            step + `,"needs":[` + strings.Repeat("\n", 500_000) + many(480, func(int) string { return `"b"` }) + `]}]}`,
		"arguments":        `{"steps":[{"id":"a","run":["x",` + many(240_000, func(int) string { return `"\u0000"` })[:900_000] + `"]}]}`,
		"objects":          `{"steps":[` + many(120_000, func(int) string { return `{"a":0}` }) + `]}`,
		"one long text":    step + `,"title":"` + strings.Repeat("t", 1_000_000) + `"}]}`,
		"nested":           strings.Repeat(`[`, 1_000_000),
		"steps that clash": `{"steps":[` + many(500, func(int) string { return `{"id":"a","shell":"x"}` }) + `]}`,
	}
}

// best is the fastest of several tries: the machine may be busy.
func best(f func()) time.Duration {
	fastest := time.Hour
	for range 2 {
		start := time.Now()
		f()
		fastest = min(fastest, time.Since(start))
	}
	return fastest
}

func TestParsePlan_TakesNoLongerThanTheTextIsLong(t *testing.T) {
	t.Parallel()
	for name, text := range hopeless() {
		read := reading(text)
		var problems []schema.PlanProblem
		if took := best(func() { _, problems = schema.ParsePlan([]byte(text)) }); took > mostReadings*read {
			t.Errorf("%s: %d bytes took %v; their tokens take %v", name, len(text), took, read)
		}
		if len(problems) > 50 {
			t.Errorf("%s: %d problems are told", name, len(problems))
		}
		if size := len(schema.Marshal(problems)); size > 64<<10 {
			t.Errorf("%s: the answer has %d bytes", name, size)
		}
		if !strings.HasPrefix(name, "needs") && !strings.HasSuffix(name, "files") {
			continue
		}
		edit := json.RawMessage(`{"plan":` + text + `}`)
		if took := best(func() { schema.CheckModifications(schema.ApprovalPlan, schema.ResolutionModified, edit) }); took > mostReadings*read {
			t.Errorf("%s: an edit of %d bytes took %v; its tokens take %v", name, len(text), took, read)
		}
	}
}

// mostReadings is how many times longer than reading a text any function that looks at it may take;
// it was some thousand times.
const mostReadings = 25

// reading is how long it takes just to read the tokens of a text. Other work is compared with it,
// so that the speed of the machine does not matter.
func reading(text string) time.Duration {
	took := best(func() {
		dec := json.NewDecoder(strings.NewReader(text))
		for _, err := dec.Token(); err == nil; {
			_, err = dec.Token()
		}
	})
	return max(took, 10*time.Millisecond)
}

// A workflow's check of an edit costs no more than reading it a few times.
func TestCheckShape_IsQuick(t *testing.T) {
	t.Parallel()
	for name, text := range hopeless() {
		edit := `{"plan":` + text + `}`
		took := best(func() { schema.CheckShape(schema.ApprovalPlan, schema.ResolutionModified, json.RawMessage(edit)) })
		if read := reading(edit); took > mostReadings*read {
			t.Errorf("%s took %v; its tokens take %v", name, took, read)
		}
	}
}

func TestParsePlan_Limits(t *testing.T) {
	t.Parallel()
	files := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(`"f%d":""`, i)
		}
		return `{"steps":[{"id":"a","shell":"x"}],"files":{` + strings.Join(names, ",") + `}}`
	}
	needs := func(n int) string {
		steps, all := make([]string, n+1), make([]string, n)
		for i := range n {
			steps[i], all[i] = fmt.Sprintf(`{"id":"s%d","shell":"x"}`, i), fmt.Sprintf(`"s%d"`, i)
		}
		steps[n] = `{"id":"last","shell":"x","needs":[` + strings.Join(all, ",") + `]}`
		return `{"steps":[` + strings.Join(steps, ",") + `]}`
	}
	for name, c := range map[string]struct{ text, wrong string }{
		"as many files as there may be": {files(schema.MaxFiles), ""},
		"one file more":                 {files(schema.MaxFiles + 1), "the plan has 2001 files; at most 2000 are allowed"},
		"a step that needs all others":  {needs(schema.MaxSteps - 1), ""},
		"more needs than there may be": {
			`{"steps":[{"id":"a","shell":"x","needs":[` + strings.TrimSuffix(strings.Repeat(`"b",`, schema.MaxNeeds+1), ",") + `]}]}`,
			"the step has 501 needs; at most 500 are allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := schema.ParsePlan([]byte(c.text))
			if c.wrong == "" && problems != nil {
				t.Fatalf("%+v", problems)
			}
			if c.wrong != "" && (len(problems) != 1 || problems[0].Message != c.wrong) {
				t.Fatalf("%+v", problems)
			}
		})
	}
}

func TestJSONProblem_BoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2))
	}
	for name, c := range map[string]struct {
		text json.RawMessage
		ok   bool
	}{
		"nothing": {nil, true}, "as deep as it may be": {nested(schema.MaxJSONDepth), true}, "deeper": {nested(schema.MaxJSONDepth + 2), false},
		"very deep": {nested(9_998), false}, "brackets in text": {json.RawMessage(`"` + strings.Repeat(`[`, 100) + `\"[[["`), true},
		"no JSON": {json.RawMessage(`{"a":}`), false}, "too long": {json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`), false},
		"not closed, and deep": {json.RawMessage(strings.Repeat(`[`, 100)), false},
	} {
		if why := schema.JSONProblem(c.text, 100_000); (why == "") != c.ok {
			t.Errorf("%s: %q", name, why)
		}
	}
}
