package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

type (
	eventsInput struct {
		SessionPath

		Since   int64    `query:"since" minimum:"0" doc:"Only events with a greater seq"`
		Until   int64    `query:"until" minimum:"0" doc:"Only events up to this seq"`
		Types   []string `query:"types" doc:"Only these types, separated by commas"`
		Without []string `query:"without" doc:"Every type but these, separated by commas; not together with types"`
		Limit   int      `query:"limit" minimum:"1" maximum:"1000" doc:"1000 when absent; an answer also ends at 4 MiB"`
	}
	historyInput struct {
		SessionPath

		Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"50 when absent"`
		Cursor string `query:"cursor" maxLength:"200"`
	}
	auditInput struct {
		SessionPath

		After  int64  `query:"after" minimum:"0" doc:"Only entries with a greater id"`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"50 when absent"`
		Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before"`
	}
	runInput struct {
		ID string `path:"id" doc:"A run's id"`
	}
)

const (
	maxEvents     = 1000
	maxEventBytes = 4 << 20 // of one answer
)

func (s *Service) registerReads() {
	const tag = "log"
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/events", id: "listEvents", summary: "Read the event log", tag: tag}, s.listEvents)
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/history", id: "listMessages", summary: "Read the conversation", tag: tag},
		func(ctx context.Context, in *historyInput) (*body[wire.MessageList], error) {
			list, next, err := s.Store.Messages(ctx, in.ID, in.Limit, in.Cursor)
			return answer(wire.MessageList{Messages: list, NextCursor: next}, err)
		})
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/audit", id: "listAudit", summary: "Read who asked for what, and whether it was done", tag: tag},
		s.listAudit)
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/runs", id: "listRuns", summary: "Read the runs with their steps and attempts", tag: tag},
		func(ctx context.Context, in *SessionPath) (*body[wire.RunList], error) {
			list, err := s.Store.Runs(ctx, in.ID)
			return answer(wire.RunList{Runs: list}, err)
		})
	handle(s, operation{method: http.MethodGet, path: "/api/runs/{id}", id: "getRun", summary: "Read a run", tag: tag},
		func(ctx context.Context, in *runInput) (*body[schema.Run], error) {
			run, err := s.Store.Run(ctx, in.ID)
			return answer(run, err)
		})
}

func (s *Service) listAudit(ctx context.Context, in *auditInput) (*body[wire.AuditList], error) {
	after := in.After
	if in.Cursor != "" {
		seen, err := strconv.ParseInt(in.Cursor, 10, 64)
		if err != nil || seen < 0 {
			return nil, schema.InvalidField("query.cursor", "this is not a next_cursor of the audit trail", in.Cursor)
		}
		after = max(after, seen)
	}
	list, next, err := s.Store.Audit(ctx, in.ID, after, in.Limit)
	page := wire.AuditList{Audit: orEmpty(list)}
	if next > 0 {
		page.NextCursor = strconv.FormatInt(next, 10)
	}
	return answer(page, err)
}

func (s *Service) listEvents(ctx context.Context, in *eventsInput) (*body[wire.EventList], error) {
	kinds, err := in.kinds()
	if err != nil {
		return nil, err
	}
	// The head is read first: what comes later is for the next call.
	head, err := s.Store.HeadSeq(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = maxEvents
	}
	events, err := s.Store.Events(ctx, in.ID, store.EventFilter{
		Since: in.Since, Until: in.Until, Types: kinds, Limit: limit, MaxBytes: maxEventBytes,
	})
	if err != nil {
		return nil, err
	}
	list := wire.EventList{Events: events, HeadSeq: head}
	if n := len(events); n > 0 {
		last := events[n-1].Seq
		list.HeadSeq = max(head, last)
		bound := list.HeadSeq
		if in.Until > 0 {
			bound = min(bound, in.Until)
		}
		if last < bound {
			list.NextSince = last
		}
	}
	return &body[wire.EventList]{Body: list}, nil
}

// eventOfLater is an event of the contract that nothing sends yet. Clients may ask for it, and pages of earlier builds do.
const eventOfLater schema.EventType = "cost_update"

// kinds are the types of event that a client wants; none for all of them.
func (in *eventsInput) kinds() ([]schema.EventType, error) {
	if len(in.Without) == 0 {
		return eventTypes("types", in.Types)
	}
	if len(in.Types) > 0 {
		return nil, schema.InvalidField("query.without", "give either types or without", strings.Join(in.Without, ","))
	}
	unwanted, err := eventTypes("without", in.Without)
	if err != nil {
		return nil, err
	}
	var kinds []schema.EventType
	for _, p := range schema.Events {
		if !slices.Contains(unwanted, p.Type) {
			kinds = append(kinds, p.Type)
		}
	}
	if len(kinds) == 0 {
		return nil, schema.InvalidField("query.without", "this leaves no type of event", strings.Join(in.Without, ","))
	}
	return kinds, nil
}

func eventTypes(param string, names []string) ([]schema.EventType, error) {
	kinds := make([]schema.EventType, 0, len(names))
	for i, name := range names {
		kind := schema.EventType(name)
		if kind != eventOfLater && !slices.ContainsFunc(schema.Events, func(p schema.Payload) bool { return p.Type == kind }) {
			known := make([]string, 0, len(schema.Events))
			for _, p := range schema.Events {
				known = append(known, string(p.Type))
			}
			slices.Sort(known)
			return nil, schema.InvalidField("query."+param+"["+strconv.Itoa(i)+"]", "there is no such type of event; allowed are "+strings.Join(known, ", "), name)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}
