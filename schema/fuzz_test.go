package schema_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// FuzzPlan: no text makes ParsePlan fail in an unexpected way, and a plan that it accepts is the
// same when it is written and read again.
func FuzzPlan(f *testing.F) {
	examples, err := filepath.Glob("../examples/*.json")
	if err != nil || len(examples) == 0 {
		f.Fatal(err, "or there are no examples")
	}
	for _, name := range examples {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		`{"steps":[{"id":"a","run":["true"]}]}`,
		`{"steps":[{"id":"a","title":"A","shell":"x > y","timeout":"30m","retries":1,"env":{"K":"v"},"network":true,"memory":"1Gi","cpu":0.5},
		  {"id":"b","agent":"researcher","task":"…","needs":["a"],"approval":true,"on_error":"ask","on_timeout":"suspend"}],"files":{"a/b.py":"x\u0000"}}`,
		`{"steps":[{"id":"a","run":["x"],"needs":["b"]},{"id":"b","run":["x"],"needs":["a"]}]}`, `{"steps":[{"id":"a","id":"b"}]}`, `{"steps":[{"id":"a","run":["x"],"needs":["a"]}],"files":{"a/b":"c"}}`, `{"steps":[]}`, `{`, ``, `[[[[`, `{"files":{"../x":""}}`,
	} {
		f.Add([]byte(text))
	}
	for _, text := range hopeless() {
		f.Add([]byte(text[:min(len(text), 4096)])) // truncated: whole ones make every other input slow
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, problems := schema.ParsePlan(text)
		if (plan == nil) == (len(problems) == 0) {
			t.Fatalf("there is a plan: %v, and problems: %v", plan != nil, problems)
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Column < 1 {
				t.Fatalf("a problem is %+v", p)
			}
		}
		if plan == nil {
			return
		}
		if len(schema.Marshal(plan)) > schema.MaxPlanBytes {
			return // written in full it is too long to read
		}
		again, problems := schema.ParsePlan(schema.Marshal(plan))
		if again == nil {
			t.Fatalf("the plan is not one when it is written again: %v\n%s", problems, schema.Marshal(plan))
		}
		if again.Digest() != plan.Digest() {
			t.Fatalf("another digest when it is written again:\n%s\n%s", schema.Marshal(plan), schema.Marshal(again))
		}
	})
}
