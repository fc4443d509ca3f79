package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

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
		for _, f := range plan.Unsupported() {
			line, column := placeOf(source, f.Location)
			problems = append(problems, schema.PlanProblem{Line: line, Column: column, Location: f.Location, Message: f.Message, Value: f.Value})
		}
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

// placeOf finds the value at a location such as steps[2].agent in the text of a valid plan.
// Line and column count from 1.
func placeOf(source []byte, location string) (line, column int) {
	offset := 0
	dec := json.NewDecoder(bytes.NewReader(source))
	var walk func(at string) bool
	walk = func(at string) bool {
		start := int(dec.InputOffset())
		for start < len(source) && strings.IndexByte(" \t\r\n,:", source[start]) >= 0 {
			start++
		}
		token, err := dec.Token()
		if err != nil {
			return true
		}
		if at == location {
			offset = start
			return true
		}
		switch token {
		case json.Delim('{'):
			for dec.More() {
				name, err := dec.Token()
				if err != nil || walk(join(at, fmt.Sprint(name))) {
					return true
				}
			}
		case json.Delim('['):
			for i := 0; dec.More(); i++ {
				if walk(fmt.Sprintf("%s[%d]", at, i)) {
					return true
				}
			}
		default:
			return false
		}
		_, err = dec.Token() // the closing bracket
		return err != nil
	}
	walk("")
	before := source[:offset]
	return bytes.Count(before, []byte{'\n'}) + 1, offset - bytes.LastIndexByte(before, '\n')
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
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
