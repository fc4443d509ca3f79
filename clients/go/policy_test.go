package client

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// vectors is clients/policy.json, which the TypeScript client's tests also read. Its times are
// in milliseconds.
type vectors struct {
	Times   map[string]int64 `json:"times"`
	Backoff struct {
		Base  int64 `json:"base"`
		Cap   int64 `json:"cap"`
		Floor int64 `json:"floor"`
		Waits []struct {
			Attempt int     `json:"attempt"`
			Random  float64 `json:"random"`
			Wait    int64   `json:"wait"`
		} `json:"waits"`
	} `json:"backoff"`
	RetryAfter []struct {
		Reason string `json:"reason"`
		Wait   int64  `json:"wait"`
	} `json:"retry_after"`
	Closes []struct {
		What  string `json:"what"`
		Steps []struct {
			Code   int         `json:"code"`
			Reason string      `json:"reason"`
			Lived  int64       `json:"lived"`
			Random float64     `json:"random"`
			Action wire.Action `json:"action"`
			Wait   int64       `json:"wait"`
		} `json:"steps"`
	} `json:"closes"`
	Refusals []struct {
		Code  schema.Code `json:"code"`
		Again bool        `json:"again"`
	} `json:"refusals"`
	Logs []struct {
		What     string    `json:"what"`
		Since    int64     `json:"since"`
		Arrives  []int64   `json:"arrives"`
		Verdicts []verdict `json:"verdicts"`
		Last     int64     `json:"last"`
	} `json:"logs"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("../policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{
		"backoff.waits": len(v.Backoff.Waits), "retry_after": len(v.RetryAfter), "closes": len(v.Closes), "refusals": len(v.Refusals), "logs": len(v.Logs),
	} {
		if n == 0 {
			t.Fatalf("there are no vectors in %s", name)
		}
	}
	return v
}

func TestPolicy_HasTheTimesThatAllClientsHave(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	v.Times["base"], v.Times["cap"], v.Times["floor"] = v.Backoff.Base, v.Backoff.Cap, v.Backoff.Floor
	for name, have := range map[string]time.Duration{
		"connect_within": connectWithin, "ping_every": pingEvery, "pong_within": pongWithin, "stable_after": stableAfter,
		"at_once_after": atOnceAfter, "ask_again_after": askAgainAfter, "base": backoffBase, "cap": backoffCap, "floor": backoffFloor,
	} {
		if want := v.Times[name]; have.Milliseconds() != want {
			t.Errorf("%s is %s, want %d ms", name, have, want)
		}
		delete(v.Times, name)
	}
	if len(v.Times) > 0 {
		t.Errorf("there are times that this client does not have: %v", v.Times)
	}
}

func TestPolicy_WaitsAsAllClientsDo(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	for _, c := range v.Backoff.Waits {
		if got := backoff(c.Attempt, c.Random); got.Milliseconds() != c.Wait {
			t.Errorf("backoff(%d, %g) = %s, want %d ms", c.Attempt, c.Random, got, c.Wait)
		}
	}
	for _, c := range v.RetryAfter {
		if got := retryIn(c.Reason); got.Milliseconds() != c.Wait {
			t.Errorf("retryIn(%q) = %s, want %d ms", c.Reason, got, c.Wait)
		}
	}
	for _, c := range v.Refusals {
		if got := mayBeAskedAgain(c.Code); got != c.Again {
			t.Errorf("mayBeAskedAgain(%q) = %t, want %t", c.Code, got, c.Again)
		}
	}
}

func TestPolicy_DoesAfterACloseWhatAllClientsDo(t *testing.T) {
	t.Parallel()
	for _, c := range readVectors(t).Closes {
		t.Run(c.What, func(t *testing.T) {
			t.Parallel()
			var r reconnect
			for i, s := range c.Steps {
				action, wait, why := r.after(s.Code, s.Reason, time.Duration(s.Lived)*time.Millisecond, 0, s.Random)
				if action != s.Action || wait.Milliseconds() != s.Wait || why == "" {
					t.Errorf("close %d, code %d: %s in %s (%q), want %s in %d ms", i+1, s.Code, action, wait, why, s.Action, s.Wait)
				}
			}
		})
	}
}

func TestPolicy_TakesLogsInAsAllClientsDo(t *testing.T) {
	t.Parallel()
	for _, c := range readVectors(t).Logs {
		t.Run(c.What, func(t *testing.T) {
			t.Parallel()
			at := cursor(c.Since)
			got := make([]verdict, 0, len(c.Arrives))
			for _, seq := range c.Arrives {
				got = append(got, at.accept(seq))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.Verdicts) || int64(at) != c.Last {
				t.Errorf("%v are %v, up to %d; want %v, up to %d", c.Arrives, got, at, c.Verdicts, c.Last)
			}
		})
	}
}
