package control

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/caller"
)

// Message has the workflow take a message in and returns its number. Its text goes to Postgres
// first: the workflow is told where, and the record of the message takes it from there. One
// that the workflow refuses is collected later.
func (s *Service) Message(ctx context.Context, sessionID, content, at, key string) (int, error) {
	if len(content) > schema.MaxMessageBytes {
		return 0, schema.InvalidField(at+"content", "this has more than "+strconv.Itoa(schema.MaxMessageBytes)+" bytes", nil)
	}
	if wrong := schema.PlainText(at+"content", content); wrong != nil {
		return 0, schema.Invalid(wrong)
	}
	if strings.TrimSpace(content) == "" {
		return 0, schema.InvalidField(at+"content", "a message is not empty", nil)
	}
	request := cmp.Or(key, schema.NewID())
	text := &schema.Text{ID: schema.TextID(sessionID, request, content), Bytes: len(content)}
	message := schema.SendMessage{Text: text, Actor: caller.User(ctx), RequestID: request}
	for {
		save, cancel := context.WithTimeout(ctx, CommandTimeout)
		saved, err := s.store.SaveText(save, sessionID, text.ID, caller.User(ctx), content)
		cancel()
		if err != nil || saved.Message > 0 {
			return saved.Message, err
		}
		result, err := s.tell(ctx, sessionID, schema.CommandMessage, key, message)
		if err != nil {
			return 0, placed(err, at)
		}
		if !s.accept(ctx, sessionID, text.ID, result.Message, saved.Revivals) {
			return result.Message, nil
		}
		// It may have been a workflow that is lost which has taken it in. One that has knows the request again.
	}
}

// accept marks a text that a workflow has taken in, and reports whether the workflow was begun anew meanwhile.
func (s *Service) accept(ctx context.Context, sessionID, textID string, number, revivals int) (revived bool) {
	// Its sender may be gone: it was taken in all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CommandTimeout)
	defer cancel()
	revived, err := s.store.AcceptText(ctx, sessionID, textID, number, revivals)
	if err != nil { // it counts only if the workflow is lost at this very moment
		s.log.DebugContext(ctx, "a text was not marked as accepted", logs.Err(err))
	}
	return revived
}

// StartRun keeps the plan and has the workflow start a run of it. The workflow carries no more
// than the plan's digest.
func (s *Service) StartRun(ctx context.Context, sessionID string, plan *schema.Plan, key string) (schema.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	digest, err := s.store.SavePlan(ctx, sessionID, plan)
	if err != nil {
		return schema.CommandResult{}, err
	}
	result, err := s.tell(ctx, sessionID, schema.CommandRun, key, schema.StartRun{PlanDigest: digest, Actor: caller.User(ctx), RequestID: key})
	if err == nil && result.RunID == "" {
		result.RunID = schema.RunID(sessionID, result.RunNumber)
	}
	return result, placed(err, "body.")
}
