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

// The rules of this file stand in docs/clients.md and, as test vectors, in
// clients/policy.json; the TypeScript client reads the same ones.

// AfterClose says what a close code asks of a client, and in words why.
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

	// A connection that lived this long starts the waits anew.
	stableAfter = 5 * time.Second
	// A server that goes away sooner than this after each accept is failing, whatever it says.
	atOnceAfter = time.Second
	// What a server may ask for at most: a typing error is not to keep a client away for a day.
	retryAfterCap = 5 * time.Minute
)

// backoff is the wait before try number attempt (from 0); random is in [0, 1).
func backoff(attempt int, random float64) time.Duration {
	ceiling := min(backoffCap, backoffBase<<min(attempt, 10))
	return max(backoffFloor, time.Duration(random*float64(ceiling)))
}

var retryAfterWords = regexp.MustCompile(`(?i)\bretry after (\d+(?:\.\d+)?) s\b`)

// retryIn is how long the reason of a close asks to stay away, "retry after N s"; 0 when it
// does not say.
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

// after says what follows a close of a connection that lived so long, 0 when it was never
// open. atLeast is how long the server asked to stay away in other ways than the reason.
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

// mayBeAskedAgain reports whether a frame that was refused with this code may be taken later,
// unchanged.
func mayBeAskedAgain(code schema.Code) bool {
	refusal, known := wire.RefusalOf(code)
	return known && refusal.Again
}

// verdict is what an arriving seq is to a cursor.
type verdict string

const (
	isNext      verdict = "next"
	isDuplicate verdict = "duplicate"
	isGap       verdict = "gap"
)

// cursor is the seq of the last event that was handed over.
type cursor int64

// accept says what a seq is, and moves on only when it is the next one.
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
