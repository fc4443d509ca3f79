package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Question is what a program in a step asks people. The same ID is the same question. The limits
// are the same at `holdfast ask`, at the step's socket and in the session.
type Question struct {
	ID             string          `json:"id"`
	Question       string          `json:"question"`
	Options        []string        `json:"options,omitempty"`
	Context        json.RawMessage `json:"context,omitempty"`
	TimeoutSeconds float64         `json:"timeout_seconds,omitempty"` // 0 for the session's default
}

// CheckWords refuses an empty or overlong question, and a timeout out of bounds.
func (q *Question) CheckWords() error {
	if strings.TrimSpace(q.Question) == "" || utf8.RuneCountInString(q.Question) > MaxQuestion {
		allowed := fmt.Sprintf("1 to %d characters", MaxQuestion)
		return badQuestion("a question has "+allowed, "question", allowed, nil)
	}
	if s := q.TimeoutSeconds; s != 0 && !(s >= MinApprovalTimeoutSeconds && s <= MaxApprovalTimeoutSeconds) { // written so that NaN is refused
		allowed := fmt.Sprintf("from %d to %d", MinApprovalTimeoutSeconds, MaxApprovalTimeoutSeconds)
		return badQuestion("timeout_seconds must be "+allowed, "timeout_seconds", allowed, s)
	}
	return nil
}

// Check is CheckWords, and also refuses an overlong ID and more context and options than people can
// be shown beside the question.
func (q *Question) Check() error {
	if err := q.CheckWords(); err != nil {
		return err
	}
	if len(q.ID) > MaxAskID {
		allowed := fmt.Sprintf("at most %d bytes", MaxAskID)
		return badQuestion("the id of a question has "+allowed, "id", allowed, len(q.ID))
	}
	if why := JSONProblem(q.Context, MaxAskContext); why != "" {
		return badQuestion("the context of a question: "+why, "context", why, nil)
	}
	about, err := q.Details()
	if err != nil {
		return err
	}
	if why := JSONProblem(about, MaxAskContext); why != "" {
		return badQuestion("the options of a question and its context, together: "+why, "options", why, nil)
	}
	return nil
}

// Details is what people see besides the question: its context or, if there are options, an object
// with both.
func (q *Question) Details() (json.RawMessage, error) {
	if len(q.Context) == 0 && len(q.Options) == 0 {
		return nil, nil
	}
	if len(q.Options) == 0 {
		return json.Marshal(q.Context)
	}
	about := map[string]json.RawMessage{}
	if len(q.Context) > 0 && (json.Unmarshal(q.Context, &about) != nil || about == nil) {
		about = map[string]json.RawMessage{"context": q.Context} // not an object
	}
	about["options"] = Marshal(q.Options)
	return json.Marshal(about)
}

func badQuestion(message, field, allowed string, value any) error {
	return &Error{Code: CodeInvalid, Message: message, Fields: []FieldError{{Location: field, Message: allowed, Value: value}}}
}
