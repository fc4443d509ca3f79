package client_test

import (
	"context"
	"errors"
	"fmt"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

const plan = `{"steps": [{"id": "publish", "title": "Publish the model", "shell": "echo published", "approval": true}]}`

// A session is created under a key, so that a second try, after an answer that was lost, creates nothing twice.
func ExampleClient_CreateSession() {
	server := playServer() // a real one: http://127.0.0.1:8411
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()

	created, err := c.CreateSession(context.Background(), wire.NewSession{
		Name: "Tuesday's model", Mode: schema.ModeRunbook, Plan: []byte(plan),
	}, "model-of-tuesday")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(created.Value.Name, "is", created.Value.Status)
	// Output: Tuesday's model is active
}

// A mistake in what was asked is a ProblemError: it has what is wrong, and where.
func ExampleProblemError() {
	server := playServer()
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()

	_, err := c.CreateSession(context.Background(), wire.NewSession{
		Mode: schema.ModeRunbook, Plan: []byte(`{"steps": [{"id": "publish"}]}`),
	}, "a-plan-with-a-mistake")
	if problem, ok := errors.AsType[*client.ProblemError](err); ok {
		fmt.Println(problem.Code)
		for _, field := range problem.Errors {
			fmt.Println(field.Location+":", field.Message)
		}
	}
	// Output:
	// invalid
	// body.plan.steps[0]: a step is exactly one of "run", "shell" and "agent"; this one has none of them
}

// What waits for a person is found, read and decided.
func ExampleClient_ResolveApproval() {
	server := playServer()
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	ctx := context.Background()
	if _, err := c.CreateSession(ctx, wire.NewSession{Mode: schema.ModeRunbook, Plan: []byte(plan)}, "key"); err != nil {
		fmt.Println(err)
		return
	}

	waiting, err := c.Approvals(ctx, client.ApprovalFilter{Status: string(schema.ApprovalPending)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range waiting.Value.Approvals {
		fmt.Println(a.Description)
		if _, err := c.ResolveApproval(ctx, a.ID, wire.ResolveRequest{Resolution: schema.ResolutionApproved, Feedback: "looks good"}); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output: Run step publish: Publish the model
}

// A list comes in pages, the newest session first.
func ExampleClient_Sessions() {
	server := playServer()
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	ctx := context.Background()
	for _, name := range []string{"Monday", "Tuesday", "Wednesday"} {
		if _, err := c.CreateSession(ctx, wire.NewSession{Name: name, Mode: schema.ModeRunbook, Plan: []byte(plan)}, name); err != nil {
			fmt.Println(err)
			return
		}
	}

	filter := client.SessionFilter{Limit: 2}
	for more := true; more; more = filter.Cursor != "" {
		page, err := c.Sessions(ctx, filter)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, s := range page.Value.Sessions {
			fmt.Println(s.Name)
		}
		filter.Cursor = page.Value.NextCursor
	}
	// Output:
	// Wednesday
	// Tuesday
	// Monday
}
