package schema_test

import (
	"fmt"

	"github.com/holdfast/holdfast/schema"
)

// A plan is text that a person wrote: parsing checks all of it.
func ExampleParsePlan() {
	plan, problems := schema.ParsePlan([]byte(`{
		"steps": [
			{"id": "fit", "title": "Fit the model", "run": ["python3", "fit.py"], "timeout": "10m"},
			{"id": "publish", "shell": "cp model.bin /srv/models", "needs": ["fit"], "approval": true}
		],
		"files": {"fit.py": "print('fitted')\n"}
	}`))
	if problems != nil {
		fmt.Println(problems)
		return
	}
	for _, step := range plan.Steps {
		fmt.Println(step.ID, "needs", step.Needs, "and asks first:", step.Approval)
	}
	// Output:
	// fit needs [] and asks first: false
	// publish needs [fit] and asks first: true
}

// A plan with mistakes is refused with all of them, each with its place in the text.
func ExampleParsePlan_mistakes() {
	_, problems := schema.ParsePlan([]byte(`{
  "steps": [
    {"id": "fit", "shell": "python3 fit.py", "timeout": "10"},
    {"id": "publish", "shell": "cp model.bin /srv", "needs": ["fitt"]}
  ]
}`))
	for _, p := range problems {
		fmt.Printf("line %d, column %d: %s: %s\n", p.Line, p.Column, p.Location, p.Message)
	}
	// Output:
	// line 3, column 57: steps[0].timeout: a timeout is a duration such as "90s", "30m" or "2h", from 1ms to 720h
	// line 4, column 63: steps[1].needs[0]: there is no step "fitt"; the steps are "fit", "publish"
}

// Two plans are the same when they mean the same, however they are spelled. An approval holds for one digest.
func ExamplePlan_Digest() {
	digest := func(text string) string {
		plan, _ := schema.ParsePlan([]byte(text))
		return plan.Digest()
	}
	plan := digest(`{"steps": [{"id": "a", "shell": "echo 1"}]}`)
	fmt.Println(plan == digest(`{"steps":[{"shell":"echo 1", "id":"a"}]}`))
	fmt.Println(plan == digest(`{"steps":[{"shell":"echo 2", "id":"a"}]}`))
	// Output:
	// true
	// false
}

// Ids that follow from what they name are the same at every try, so that doing something twice does it once.
func ExampleRunID() {
	const session = "0b54b8b4-3d1c-4b0e-9a53-0d7a3c1a2f10"
	fmt.Println("first run:     ", schema.RunID(session, 1))
	fmt.Println("second run:    ", schema.RunID(session, 2))
	fmt.Println("first approval:", schema.ApprovalID(session, 1))
	fmt.Println("workflow:      ", schema.WorkflowID(session))
	// Output:
	// first run:      fed3c85b-3b57-87c3-a778-a033ddf9ddb8
	// second run:     c0e25049-a6fd-84c2-9d4f-4fd977ba45c0
	// first approval: 4f964931-42ba-8bd3-af2d-9b70bdfa23c0
	// workflow:       session-0b54b8b4-3d1c-4b0e-9a53-0d7a3c1a2f10
}

// An error has a code, which decides how a client is answered, and keeps its cause.
func ExampleCodeOf() {
	err := fmt.Errorf("resolve: %w", schema.Errorf(schema.CodeNotFound, "there is no approval %s", "0b54b8b4"))
	fmt.Println(schema.CodeOf(err))
	fmt.Println(err)
	// Output:
	// not_found
	// resolve: there is no approval 0b54b8b4
}
