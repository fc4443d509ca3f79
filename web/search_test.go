package web_test

import (
	"context"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web"
)

func dialTemporal(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address, Logger: logs.Discard()})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// inputOf reads what a session's workflow was started with from its history, which needs no
// worker.
func inputOf(t *testing.T, c client.Client, sessionID string) schema.SessionInput {
	t.Helper()
	var in schema.SessionInput
	testkit.Eventually(t, "the workflow has started", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		history := c.GetWorkflowHistory(ctx, schema.WorkflowID(sessionID), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		if !history.HasNext() {
			return false
		}
		first, err := history.Next()
		if err != nil {
			return false
		}
		return client.NewValue(first.GetWorkflowExecutionStartedEventAttributes().GetInput()).Get(&in) == nil
	})
	return in
}

func create(e *env, header ...string) schema.Session {
	e.Helper()
	var s schema.Session
	e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plainPlan+`}`, header...).into(e, 201, &s)
	return s
}

func TestSearchAttributes_AreAddedAndSessionsAreFoundByThem(t *testing.T) {
	t.Parallel()
	own := startTemporal(t)
	e := start(t, func(s *setup) { s.temporal = own })
	c := dialTemporal(t, own)
	var s schema.Session
	// Sessions that start in the first moments may do without.
	testkit.Eventually(t, "a session that can be searched for", func() bool {
		s = create(e, "X-Holdfast-User", "ann")
		return inputOf(t, c, s.ID).Searchable
	})
	query := "HoldfastStatus = 'active' AND HoldfastPhase = 'planning' AND HoldfastMode = 'runbook' AND HoldfastOwner = 'ann'"
	testkit.Eventually(t, "it is found", func() bool {
		found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		must(t, err)
		for _, w := range found.GetExecutions() {
			if w.GetExecution().GetWorkflowId() == schema.WorkflowID(s.ID) {
				return true
			}
		}
		return false
	})
	e.noErrors()

	// Somebody removes one: sessions start all the same, and it is added again.
	_, err := c.OperatorService().RemoveSearchAttributes(t.Context(), &operatorservice.RemoveSearchAttributesRequest{
		Namespace: client.DefaultNamespace, SearchAttributes: []string{schema.SearchOwner},
	})
	must(t, err)
	testkit.Eventually(t, "a session that cannot be searched for", func() bool {
		return !inputOf(t, c, create(e, "X-Holdfast-User", "ann").ID).Searchable
	})
	testkit.Eventually(t, "a session that can be searched for again", func() bool {
		return inputOf(t, c, create(e, "X-Holdfast-User", "ann").ID).Searchable
	})
	e.noErrors()
}

func TestSearchAttributes_AreAddedByManyServersAtOnce(t *testing.T) {
	t.Parallel()
	own := startTemporal(t)
	c := dialTemporal(t, own)
	servers := make([]*env, 5)
	for i := range servers {
		servers[i] = start(t, func(s *setup) { s.temporal = own })
	}
	for _, e := range servers {
		testkit.Eventually(t, "a session that can be searched for", func() bool { return inputOf(t, c, create(e).ID).Searchable })
		if text := e.logs.String(); strings.Contains(text, "search attributes") {
			t.Errorf("logged: %s", text)
		}
		e.noErrors()
	}
}

func TestSearchAttributes_ThatCannotBeHadAreDoneWithoutAndSaidOnce(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]map[string]enums.IndexedValueType{
		"the name is used for something else": {schema.SearchPhase: enums.INDEXED_VALUE_TYPE_TEXT},
		"there is no room for more": { // SQL visibility has ten columns of this type
			"K0": enums.INDEXED_VALUE_TYPE_KEYWORD, "K1": enums.INDEXED_VALUE_TYPE_KEYWORD, "K2": enums.INDEXED_VALUE_TYPE_KEYWORD,
			"K3": enums.INDEXED_VALUE_TYPE_KEYWORD, "K4": enums.INDEXED_VALUE_TYPE_KEYWORD, "K5": enums.INDEXED_VALUE_TYPE_KEYWORD,
			"K6": enums.INDEXED_VALUE_TYPE_KEYWORD, "K7": enums.INDEXED_VALUE_TYPE_KEYWORD, "K8": enums.INDEXED_VALUE_TYPE_KEYWORD,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := startTemporal(t)
			c := dialTemporal(t, own)
			testkit.Eventually(t, "the attributes are taken", func() bool {
				_, err := c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
					Namespace: client.DefaultNamespace, SearchAttributes: taken,
				})
				return err == nil
			})
			e := start(t, func(s *setup) { s.temporal = own })
			said := func() int {
				return strings.Count(e.logs.String(),
					"temporal operator search-attribute create --namespace default --name HoldfastPhase --type Keyword")
			}
			testkit.Eventually(t, "it is said", func() bool { return said() == 1 })
			if inputOf(t, c, create(e).ID).Searchable {
				t.Error("the session was started with search attributes that there are not")
			}
			e.noErrors()
		})
	}
}

func TestSearchAttributes_AreAddedOnceTemporalIsThere(t *testing.T) {
	t.Parallel()
	own := startTemporal(t)
	p := newProxy(t, own)
	p.down()
	e := start(t, func(s *setup) { s.temporal = p.addr })
	first := create(e)
	p.up()
	c := dialTemporal(t, own)
	inputOf(t, c, first.ID) // started, with or without
	testkit.Eventually(t, "a session that can be searched for", func() bool { return inputOf(t, c, create(e).ID).Searchable })
	e.noErrors()
}

func TestSessionTTL_OfTheServerReachesTheWorkflow(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.SessionTTL, o.HostTimeout = 36e11, 7e10 }))
	s := e.create(plainPlan)
	if in := inputOf(t, sharedTemporal(t), s.ID); in.SessionTTL != 36e11 || in.HostTimeout != 7e10 || in.ApprovalTimeout == 0 || in.Config != s.Config {
		t.Fatalf("the input is %+v", in)
	}
}
