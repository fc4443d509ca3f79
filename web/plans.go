package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/holdfast/holdfast/schema"
)

// Example is a plan to start from.
type Example struct {
	ID          string       `json:"id"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	Plan        *schema.Plan `json:"plan"`
	Source      string       `json:"source" doc:"The plan as its author wrote it"`
}

type example = Example

// ExampleList is every example.
type ExampleList struct {
	Examples []Example `json:"examples"`
}

// PlanSource is a plan as text.
type PlanSource struct {
	Source string `json:"source"`
}

// PlanValidation says whether a plan can be run here. Problems are in the order of the text.
type PlanValidation struct {
	Valid    bool                 `json:"valid"`
	Plan     *schema.Plan         `json:"plan,omitempty"`
	Problems []schema.PlanProblem `json:"problems"`
}

func (s *Server) registerPlans() {
	const tag = "plans"
	handle(s, operation{method: http.MethodGet, path: "/api/examples", id: "listExamples", summary: "List the examples", tag: tag},
		func(context.Context, *struct{}) (*body[ExampleList], error) {
			list := s.examples
			if list == nil {
				list = []Example{}
			}
			return &body[ExampleList]{Body: ExampleList{Examples: list}}, nil
		})
	handle(s, operation{method: http.MethodPost, path: "/api/plans/validate", id: "validatePlan", summary: "Check a plan without running it", tag: tag},
		func(_ context.Context, in *struct{ Body PlanSource }) (*body[PlanValidation], error) {
			return &body[PlanValidation]{Body: validatePlan([]byte(in.Body.Source))}, nil
		})
}

func validatePlan(source []byte) PlanValidation {
	plan, problems := schema.ParsePlan(source)
	if plan != nil {
		problems = plan.UnsupportedIn(source)
	}
	v := PlanValidation{Valid: len(problems) == 0, Problems: problems}
	if v.Valid {
		v.Plan, v.Problems = plan, []schema.PlanProblem{}
	}
	for i := range v.Problems {
		v.Problems[i].Value = brief(v.Problems[i].Value)
	}
	return v
}

// loadExamples reads index.json, a list of {id, title, description, file}, and the plans
// that it names. An example that is not a valid plan is a mistake of the build.
func loadExamples(from fs.FS) ([]example, error) {
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
	list := make([]example, 0, len(entries))
	for _, e := range entries {
		source, err := fs.ReadFile(from, e.File)
		if err != nil {
			return nil, fmt.Errorf("read the example %s: %w", e.ID, err)
		}
		plan, problems := schema.ParsePlan(source)
		if plan == nil {
			return nil, fmt.Errorf("the example %s is not a plan: line %d: %s", e.ID, problems[0].Line, problems[0].Message)
		}
		list = append(list, example{ID: e.ID, Title: e.Title, Description: e.Description, Plan: plan, Source: string(source)})
	}
	return list, nil
}
