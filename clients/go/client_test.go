package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func problem(w http.ResponseWriter, p schema.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(schema.Marshal(p))
}

func TestCreateSession_IsSentAgainUnderOneKeyUntilItIsTaken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var calls atomic.Int32
	var keys [4]string
	f.mux.HandleFunc("POST /api/sessions", func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		keys[n-1] = r.Header.Get("Idempotency-Key")
		switch n {
		case 1: // the answer is lost on the way
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		case 2:
			w.Header().Set("Retry-After", "3")
			problem(w, schema.Problem{Status: 503, Detail: "Postgres is away", Code: schema.CodeUnavailable})
		default:
			_, _ = w.Write([]byte(`{"id":"` + sessionID + `","status":"active"}`))
		}
	})
	c, waits := quick(t, f.URL)
	answer, err := c.CreateSession(t.Context(), wire.NewSession{Mode: schema.ModeRunbook, Plan: []byte(`{"steps":[]}`)}, "key")
	if err != nil || answer.Value.ID != sessionID || !strings.Contains(string(answer.Raw), "active") {
		t.Fatalf("answer %s, error %v", answer.Raw, err)
	}
	if calls.Load() != 3 || keys[0] != "key" || keys[2] != "key" {
		t.Errorf("%d calls with the keys %q", calls.Load(), keys)
	}
	if len(*waits) != 2 || (*waits)[1] < 3*time.Second {
		t.Errorf("waited %v, want the second wait as long as the server asked for", *waits)
	}
}

func TestCall_GivesUpWhenItsPatienceIsOver(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("/api/sessions/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		problem(w, schema.Problem{Status: 503, Detail: "Temporal is away", Code: schema.CodeUnavailable})
	})
	c, _ := quick(t, f.URL)
	_, err := c.Session(t.Context(), sessionID)
	contains(t, err, "Temporal is away")
}

func TestCall_SaysThatNoServerIsThereAtOnce(t *testing.T) {
	t.Parallel()
	c, waits := quick(t, "http://127.0.0.1:1")
	_, err := c.Session(t.Context(), sessionID)
	contains(t, err, "cannot reach Holdfast at http://127.0.0.1:1; is it running? start it with `holdfast up`", "refused")
	if len(*waits) != 0 {
		t.Errorf("waited %v", *waits)
	}
}

func TestProblemError_IsTheDetailThenEachErrorOnALine(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("/api/sessions/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, schema.Problem{Status: 422, Detail: "the plan is not valid", Code: schema.CodeInvalid, Errors: []schema.FieldError{
			{Location: "body.plan.steps[0].needs[0]", Message: `there is no step "x"`, Value: "x"},
			{Location: "body.config", Message: "long", Value: strings.Repeat("y", 200)},
		}})
	})
	c, _ := quick(t, f.URL)
	_, err := c.Session(t.Context(), sessionID)
	want := "the plan is not valid\n  plan.steps[0].needs[0]: there is no step \"x\" (got \"x\")\n  config: long (got \"" + strings.Repeat("y", 79) + "…)"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

func TestProblemError_TellsASingleErrorOnce(t *testing.T) {
	t.Parallel()
	p := ProblemError{schema.Problem{Detail: "query.limit[0]: too many", Errors: []schema.FieldError{{Location: "query.limit[0]", Message: "too many", Value: 9}}}}
	if got, want := p.Error(), "limit: too many (got 9)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCall_SaysWhenTheServerIsSomethingElse(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>nginx", http.StatusNotFound) })
	c, _ := quick(t, f.URL)
	_, err := c.Session(t.Context(), sessionID)
	contains(t, err, "404", "is "+f.URL+" a Holdfast server?")
}

func TestFind_CompletesAUniquePrefixInOneRequest(t *testing.T) {
	t.Parallel()
	ids := []string{"aaaa1111-0000-4000-8000-000000000001", "aaaa2222-0000-4000-8000-000000000002", "bbbb1111-0000-4000-8000-000000000003"}
	f := newFake(t)
	var asked atomic.Int64
	pick := func(r *http.Request, each func(id, label string)) (total int) {
		asked.Add(1)
		most, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		for i, id := range ids {
			if strings.HasPrefix(id, r.URL.Query().Get("id_prefix")) {
				if total++; total <= most {
					each(id, fmt.Sprintf("number %d", i))
				}
			}
		}
		return total
	}
	f.mux.HandleFunc("GET /api/sessions", func(w http.ResponseWriter, r *http.Request) {
		var page wire.SessionList
		page.Total = pick(r, func(id, label string) { page.Sessions = append(page.Sessions, schema.Session{ID: id, Name: label}) })
		_, _ = w.Write(schema.Marshal(page))
	})
	f.mux.HandleFunc("GET /api/approvals", func(w http.ResponseWriter, r *http.Request) {
		var page wire.ApprovalList
		page.Total = pick(r, func(id, label string) {
			page.Approvals = append(page.Approvals, schema.Approval{ID: id, Description: label})
		})
		_, _ = w.Write(schema.Marshal(page))
	})
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("cccc%04d-0000-4000-8000-000000000000", i))
	}
	c, _ := quick(t, f.URL)
	for what, find := range map[string]func(context.Context, string) (string, error){"a session": c.FindSession, "an approval": c.FindApproval} {
		thing := strings.Fields(what)[1]
		for prefix, want := range map[string]string{"bbbb": ids[2], "AAAA2": ids[1], "bbbb1111-0": ids[2]} {
			before := asked.Load()
			if got, err := find(t.Context(), prefix); err != nil || got != want || asked.Load() != before+1 {
				t.Errorf("%s %q is %q, %v after %d requests", thing, prefix, got, err, asked.Load()-before)
			}
		}
		before := asked.Load()
		for prefix, want := range map[string]string{"bbb": "the first 4 or more characters", "../../etc": "is not the id of " + what, "aaaa11110": "is not the id of " + what} {
			_, err := find(t.Context(), prefix)
			contains(t, err, want)
		}
		if got, err := find(t.Context(), ids[0]); err != nil || got != ids[0] || asked.Load() != before {
			t.Errorf("a whole id is %q, %v after %d requests", got, err, asked.Load()-before)
		}
		_, err := find(t.Context(), "aaaa")
		contains(t, err, "2 "+thing+"s have ids that start with \"aaaa\":\n  "+ids[0]+"  number 0\n  "+ids[1]+"  number 1")
		_, err = find(t.Context(), "dddd")
		contains(t, err, "there is no "+thing+` whose id starts with "dddd"`)
		_, err = find(t.Context(), "cccc")
		contains(t, err, "12 "+thing+"s have ids that start with", "number 12\n  … and 2 more")
		if strings.Contains(err.Error(), "number 13") {
			t.Errorf("more than ten are shown: %v", err)
		}
	}
}

func TestUnreachableError_KeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := &net.OpError{Op: "dial", Err: errors.New("no route")}
	contains(t, &UnreachableError{URL: "http://x", Cause: cause}, "(no route)")
}
