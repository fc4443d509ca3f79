package client

import (
	"context"
	"math/rand/v2"
	"time"
)

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
		return WithWait, "the server has reached its connection limit"
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
)

// backoff is the wait before try number attempt (from 0); random is in [0, 1).
func backoff(attempt int, random float64) time.Duration {
	ceiling := min(backoffCap, backoffBase<<min(attempt, 10))
	return max(backoffFloor, time.Duration(random*float64(ceiling)))
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
