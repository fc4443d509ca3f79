package client

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// The rules of this file are in docs/clients.md and, as test vectors, in
// clients/policy.json; the TypeScript client is tested with the same ones.

// AfterClose says what a client must do after a close code, and why, in words.
func AfterClose(code int, reason string) (wire.Action, string) {
	rule := wire.CloseRuleOf(code)
	if rule.Says && reason != "" {
		return rule.Action, reason
	}
	return rule.Action, rule.Why
}

// Waits between tries: uniform in [0, min(cap, base·2^attempt)), "full jitter", so that many
// clients cut at the same time do not come back at the same time.
const (
	backoffBase  = 300 * time.Millisecond
	backoffCap   = 10 * time.Second
	backoffFloor = 50 * time.Millisecond

	// A connection that lived this long resets the waits.
	stableAfter = 5 * time.Second
	// A server that goes away sooner than this after accepting is failing, whatever it says.
	atOnceAfter = time.Second
	// The longest wait that a server may ask for: a typo must not keep a client away for a day.
	retryAfterCap = 5 * time.Minute
)

// backoff is the wait before try number attempt (from 0); random is in [0, 1).
func backoff(attempt int, random float64) time.Duration {
	ceiling := min(backoffCap, backoffBase<<min(attempt, 10))
	return max(backoffFloor, time.Duration(random*float64(ceiling)))
}

var retryAfterWords = regexp.MustCompile(`(?i)\bretry after (\d+(?:\.\d+)?) s\b`)

// retryIn is how long a close's reason asks to stay away, "retry after N s"; 0 when it does not
// say.
func retryIn(reason string) time.Duration {
	words := retryAfterWords.FindStringSubmatch(reason)
	if words == nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(words[1], 64)
	if err != nil || seconds > retryAfterCap.Seconds() {
		return retryAfterCap
	}
	return time.Duration(seconds * float64(time.Second))
}

// reconnect counts the connections that did not live, so that the waits grow.
type reconnect struct{ failures int }

// after says what to do when a connection closes that lived so long, 0 if it never opened.
// atLeast is how long the server asked to stay away by other means than the reason.
func (r *reconnect) after(code int, reason string, lived, atLeast time.Duration, random float64) (wire.Action, time.Duration, string) {
	if lived >= stableAfter {
		r.failures = 0
	}
	action, why := AfterClose(code, reason)
	if action == wire.Stop {
		return wire.Stop, 0, why
	}
	if code == wire.CloseTryAgainLater {
		atLeast = max(atLeast, retryIn(reason))
	}
	delay := atLeast + backoff(r.failures, random)
	if action == wire.AtOnce && lived >= atOnceAfter {
		delay = 0
	}
	r.failures++
	return action, delay, why
}

// mayBeAskedAgain reports whether the server may accept a frame later that it refused with this
// code.
func mayBeAskedAgain(code schema.Code) bool {
	refusal, known := wire.RefusalOf(code)
	return known && refusal.Again
}

// verdict says how an arriving seq relates to a cursor.
type verdict string

const (
	isNext      verdict = "next"
	isDuplicate verdict = "duplicate"
	isGap       verdict = "gap"
)

// cursor is the seq of the last event handed over.
type cursor int64

// accept judges a seq, and moves on only if it is the next one.
func (c *cursor) accept(seq int64) verdict {
	switch last := int64(*c); {
	case seq <= last:
		return isDuplicate
	case seq > last+1:
		return isGap
	default:
		*c = cursor(seq)
		return isNext
	}
}

func randomFloat() float64 { return rand.Float64() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
