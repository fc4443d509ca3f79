package e2e

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ask makes one request under a key and says how long the answer took.
func (s *stack) ask(path, key, body string) (status int, retryAfter string, took time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.web+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("no answer after %s: %v", time.Since(began), err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After"), time.Since(began)
}

// signalChild sends a signal to one process of the stack.
func (s *stack) signalChild(name string, sig syscall.Signal) {
	s.t.Helper()
	for _, c := range s.children() {
		if c.Name == name {
			if err := syscall.Kill(c.PID, sig); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// A Temporal, or a worker, that hangs is worse than one that is gone: nothing says that it
// does not answer. The caller hears "try again", in time, and trying again has one effect.
func TestPressure_WhoeverHangsTheCallerHearsOfIt(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"temporal", "worker"} {
		t.Run(hangs, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			id := s.start(`{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`, nil)
			a := s.awaitApproval(id)
			s.signalChild(hangs, syscall.SIGSTOP)
			defer s.signalChild(hangs, syscall.SIGCONT)
			decide := "/api/approvals/" + a.ID + "/resolve"
			for range 2 {
				// The server promises an answer within 12 s.
				status, retryAfter, took := s.ask(decide, "the-decision", `{"resolution":"approved"}`)
				if status != http.StatusServiceUnavailable || retryAfter == "" || took > 15*time.Second {
					t.Errorf("a decision: %d after %s, Retry-After %q", status, took, retryAfter)
				}
			}
			if status, retryAfter, took := s.ask("/api/sessions/"+id+"/messages", "the-message", `{"content":"hello"}`); status != http.StatusServiceUnavailable || retryAfter == "" || took > 15*time.Second {
				t.Errorf("a message: %d after %s, Retry-After %q", status, took, retryAfter)
			}
			s.signalChild(hangs, syscall.SIGCONT)
			for path, key := range map[string]string{decide: "the-decision", "/api/sessions/" + id + "/messages": "the-message"} {
				body := `{"resolution":"approved"}`
				if key == "the-message" {
					body = `{"content":"hello"}`
				}
				var status int
				s.until("an answer to "+key, func() bool {
					status, _, _ = s.ask(path, key, body)
					return status != http.StatusServiceUnavailable
				})
				if status >= 300 {
					t.Errorf("%s, again: %d", key, status)
				}
			}
			seen := s.watch(id).await("the end of both runs", func(seen []event) bool {
				return count(seen, "workflow_completed")+count(seen, "workflow_failed") > 0 && count(seen, "workflow_started") == 2
			})
			if n := count(seen, "approval_received"); n != 1 {
				t.Errorf("%d decisions were recorded", n)
			}
			if n := count(seen, "agent_message"); n != 1 {
				t.Errorf("%d messages were recorded", n)
			}
		})
	}
}
