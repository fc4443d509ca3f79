//go:build unix

package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func (a *asks) post(ctx context.Context, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.serveAsk(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/ask", strings.NewReader(body)))
	return w
}

// A program's questions are checked where they come in: nothing that cannot be recorded or shown
// gets any further.
func TestAsk_BoundsWhatIsAsked(t *testing.T) {
	t.Parallel()
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	text := func(of string, n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat(of, n) + `"`) }
	for name, c := range map[string]struct {
		ask     Ask
		allowed bool
	}{
		"a context as deep as it may be": {Ask{Question: "?", Context: nested(schema.MaxJSONDepth)}, true},
		"a deeper one":                   {Ask{Question: "?", Context: nested(schema.MaxJSONDepth + 1)}, false},
		"one that is 9,990 deep":         {Ask{Question: "?", Context: nested(9_990)}, false},
		"a context as long as it may be": {Ask{Question: "?", Context: text("x", schema.MaxAskContext-2)}, true},
		"a longer one":                   {Ask{Question: "?", Context: text("x", schema.MaxAskContext-1)}, false},
		"one that is too long as JSON":   {Ask{Question: "?", Context: text("<", schema.MaxAskContext/6+1)}, false},
		"options with their context":     {Ask{Question: "?", Context: text("x", 32<<10), Options: []string{strings.Repeat("x", 31<<10)}}, true},
		"too much of both":               {Ask{Question: "?", Context: text("x", 32<<10), Options: []string{strings.Repeat("x", 32<<10)}}, false},
		"a question as long as may be":   {Ask{Question: strings.Repeat("\U0001F600", schema.MaxQuestion)}, true},
		"a longer question":              {Ask{Question: strings.Repeat("x", schema.MaxQuestion+1)}, false},
		"no question":                    {Ask{Question: " "}, false},
		"an id as long as it may be":     {Ask{Question: "?", ID: strings.Repeat("x", schema.MaxAskID)}, true},
		"a longer id":                    {Ask{Question: "?", ID: strings.Repeat("x", schema.MaxAskID+1)}, false},
		"as much time as there is":       {Ask{Question: "?", TimeoutSeconds: schema.MaxApprovalTimeoutSeconds}, true},
		"more time":                      {Ask{Question: "?", TimeoutSeconds: schema.MaxApprovalTimeoutSeconds + 1}, false},
		"no time":                        {Ask{Question: "?", TimeoutSeconds: -1}, false},
		"a body without end":             {Ask{Question: strings.Repeat("<", 1<<20)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsks(&Spec{})
			told := 0
			a.tell = func(r Report) {
				told++
				a.answer(Answer{ID: r.Ask.ID, Outcome: OutcomeApproved})
			}
			w := a.post(t.Context(), string(schema.Marshal(c.ask)))
			want := http.StatusBadRequest
			if c.allowed {
				want = http.StatusOK
			}
			if w.Code != want || (told == 1) != c.allowed {
				t.Fatalf("%d: %s; %d questions went on", w.Code, w.Body, told)
			}
		})
	}
}

// A program that asks and hangs up cannot fill anything: beyond the limit it is told to come back,
// and its question is asked when there is room.
func TestAsk_WhatIsOpenIsBounded(t *testing.T) {
	t.Parallel()
	a := newAsks(&Spec{})
	told := map[string]int{}
	a.tell = func(r Report) { told[r.Ask.ID]++ }
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	ask := func(ctx context.Context, id string) int {
		return a.post(ctx, fmt.Sprintf(`{"question":"Really?","id":%q}`, id)).Code
	}
	for i := range 3 * schema.MaxOpenAsks {
		ask(gone, strconv.Itoa(i))
	}
	if len(a.open()) != schema.MaxOpenAsks || len(a.asked) != schema.MaxOpenAsks || len(told) != schema.MaxOpenAsks {
		t.Fatalf("%d are open, %d kept, %d told", len(a.open()), len(a.asked), len(told))
	}
	if code := ask(t.Context(), "late"); code != http.StatusServiceUnavailable {
		t.Fatalf("one too many: %d", code)
	}
	a.answer(Answer{ID: "0", Outcome: OutcomeApproved})
	if code := ask(t.Context(), "0"); code != http.StatusOK {
		t.Fatalf("one that is answered: %d", code)
	}
	ask(gone, "late")
	if told["late"] != 1 {
		t.Fatal("what was refused for now stays refused")
	}
	if q := a.asked[0]; q.ask.Question != "" {
		t.Fatalf("the words of an answered question are kept: %+v", q.ask)
	}
}
