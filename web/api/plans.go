package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func (s *Service) registerPlans() {
	const tag = "plans"
	handle(s, operation{method: http.MethodGet, path: "/api/examples", id: "listExamples", summary: "List the examples", tag: tag},
		func(context.Context, *struct{}) (*body[wire.ExampleList], error) {
			list := s.examples
			if list == nil {
				list = []wire.Example{}
			}
			return &body[wire.ExampleList]{Body: wire.ExampleList{Examples: list}}, nil
		})
	for path, id := range map[string]string{"/api/modes": "listModes", "/api/sessions/modes/list": "listSessionModes"} {
		handle(s, operation{method: http.MethodGet, path: path, id: id, summary: "List the workflow modes", tag: tag},
			func(context.Context, *struct{}) (*body[wire.ModeList], error) {
				return &body[wire.ModeList]{Body: wire.ModeList{Modes: schema.Modes()}}, nil
			})
	}
	handle(s, operation{method: http.MethodPost, path: "/api/plans/validate", id: "validatePlan", summary: "Check a plan without running it", tag: tag},
		func(_ context.Context, in *struct{ Body wire.PlanSource }) (*body[wire.PlanValidation], error) {
			return &body[wire.PlanValidation]{Body: validatePlan([]byte(in.Body.Source))}, nil
		})
}

func validatePlan(source []byte) wire.PlanValidation {
	plan, problems := schema.ParsePlan(source)
	if plan != nil {
		problems = plan.UnsupportedIn(source)
	}
	v := wire.PlanValidation{Valid: len(problems) == 0, Problems: problems}
	if v.Valid {
		v.Plan, v.Problems = plan, []schema.PlanProblem{}
	}
	for i := range v.Problems {
		v.Problems[i].Value = schema.Brief(v.Problems[i].Value)
	}
	return v
}

// loadExamples reads index.json, a list of {id, title, description, file}, and the plans
// that it names. An example that is not a valid plan is a mistake of the build.
func loadExamples(from fs.FS) ([]wire.Example, error) {
	if from == nil {
		return nil, nil
	}
	index, err := fs.ReadFile(from, "index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the examples: %w", err)
	}
	var entries []struct {
		ID          string `json:"id"`
		Title       string `json:"title"`
		Description string `json:"description"`
		File        string `json:"file"`
	}
	if err := json.Unmarshal(index, &entries); err != nil {
		return nil, fmt.Errorf("read the examples' index.json: %w", err)
	}
	list := make([]wire.Example, 0, len(entries))
	for _, e := range entries {
		source, err := fs.ReadFile(from, e.File)
		if err != nil {
			return nil, fmt.Errorf("read the example %s: %w", e.ID, err)
		}
		plan, problems := schema.ParsePlan(source)
		if plan == nil {
			return nil, fmt.Errorf("the example %s is not a plan: line %d: %s", e.ID, problems[0].Line, problems[0].Message)
		}
		list = append(list, wire.Example{ID: e.ID, Title: e.Title, Description: e.Description, Plan: plan, Source: string(source)})
	}
	return list, nil
}
