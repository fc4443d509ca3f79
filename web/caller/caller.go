// Package caller carries in a request's context who asks, and by which request.
//
// Imports: nothing of this module.
// Imported by: web, web/api, web/control, web/problem, web/socket.
package caller

import "context"

type key int

const (
	keyUser key = iota
	keyRequestID
)

// Printable reports whether a caller's name for something is 1 to most printable ASCII characters without spaces.
func Printable(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

// DefaultUser is who asks when nothing says who.
const DefaultUser = "local"

// WithUser names who asks.
func WithUser(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, keyUser, user)
}

// User names who asks; commands carry it as their actor.
func User(ctx context.Context) string {
	if user, ok := ctx.Value(keyUser).(string); ok {
		return user
	}
	return DefaultUser
}

// WithRequestID names the request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, keyRequestID, id)
}

// RequestID names the request, "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}
