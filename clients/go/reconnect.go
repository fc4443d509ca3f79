package client

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The rules of this file stand in docs/clients.md and, as test vectors, in
// clients/policy.json; the TypeScript client reads the same ones.

// The WebSocket close codes that say what to do next.
const (
	CloseNormal          = 1000
	CloseGoingAway       = 1001
	ClosePolicy          = 1008
	CloseTooBig          = 1009
	CloseTryAgainLater   = 1013
	CloseReplaced        = 4001
	CloseUnauthenticated = 4401
	CloseForbidden       = 4403

	closeAbnormal = 1006 // the connection broke without a close frame
)

// Action is what to do after a connection closed.
type Action string

// The actions.
const (
	Stop     Action = "stop"    // do not come back
	AtOnce   Action = "at once" // come back without waiting: another instance will answer
	WithWait Action = "backoff" // come back after a growing, random wait
)

// AfterClose says what a close code asks of a client, and in words why.
func AfterClose(code int, reason string) (Action, string) {
	say := func(otherwise string) string {
		if reason != "" {
			return reason
		}
		return otherwise
	}
	switch code {
	case CloseNormal:
		return Stop, say("the server closed the connection")
	case CloseGoingAway:
		return AtOnce, "the server is restarting"
	case ClosePolicy:
		return Stop, say("the server refused the connection")
	case CloseReplaced:
		return Stop, "a newer connection took over"
	case CloseUnauthenticated:
		return Stop, "not signed in"
	case CloseForbidden:
		return Stop, "not allowed"
	case CloseTooBig:
		return WithWait, "a message was too big for the server"
	case CloseTryAgainLater:
		return WithWait, say("the server has reached its connection limit")
	default:
		return WithWait, say("the connection was lost")
	}
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
func (r *reconnect) after(code int, reason string, lived, atLeast time.Duration, random float64) (Action, time.Duration, string) {
	if lived >= stableAfter {
		r.failures = 0
	}
	action, why := AfterClose(code, reason)
	if action == Stop {
		return Stop, 0, why
	}
	if code == CloseTryAgainLater {
		atLeast = max(atLeast, retryIn(reason))
	}
	delay := atLeast + backoff(r.failures, random)
	if action == AtOnce && lived >= atOnceAfter {
		delay = 0
	}
	r.failures++
	return action, delay, why
}

// mayBeAskedAgain reports whether a frame that was refused with this code may be taken later,
// unchanged.
func mayBeAskedAgain(code schema.Code) bool {
	switch code {
	case schema.CodeUnavailable, schema.CodeRateLimited, schema.CodeInternal, schema.CodeStale:
		return true
	default:
		return false
	}
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
