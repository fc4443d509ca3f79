package logs

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/term"
)

// Format is how a record is written.
type Format string

// The formats.
const (
	FormatAuto Format = "auto" // text on a terminal, else JSON
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// The attribute keys that context carries. They are also field names of events.
const (
	KeySession   = "session_id"
	KeyRun       = "run_id"
	KeyStep      = "step_id"
	KeyAttempt   = "attempt"
	KeyApproval  = "approval_id"
	KeyActor     = "actor"
	KeyRequest   = "request_id"
	KeyComponent = "component"
	KeyError     = "error"
)

// Session is the session_id attribute.
func Session(id string) slog.Attr { return slog.String(KeySession, id) }

// Run is the run_id attribute.
func Run(id string) slog.Attr { return slog.String(KeyRun, id) }

// Step is the step_id attribute.
func Step(id string) slog.Attr { return slog.String(KeyStep, id) }

// Attempt is the attempt attribute.
func Attempt(n int) slog.Attr { return slog.Int(KeyAttempt, n) }

// Approval is the approval_id attribute.
func Approval(id string) slog.Attr { return slog.String(KeyApproval, id) }

// Actor is the actor attribute: who asked for it.
func Actor(name string) slog.Attr { return slog.String(KeyActor, name) }

// Request is the request_id attribute.
func Request(id string) slog.Attr { return slog.String(KeyRequest, id) }

// Err is the attribute of an error; its text is the whole chain.
func Err(err error) slog.Attr { return slog.Any(KeyError, err) }

// New makes a logger that writes to w.
func New(w io.Writer, format Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: utc}
	if format == FormatAuto || format == "" {
		format = FormatJSON
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = FormatText
		}
	}
	var inner slog.Handler = slog.NewJSONHandler(w, options)
	if format == FormatText {
		inner = slog.NewTextHandler(w, options)
	}
	return slog.New(NewHandler(inner))
}

// Discard is a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// utc formats times in UTC with milliseconds, as everywhere in Holdfast.
func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(slog.TimeKey, a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

type contextKey struct{}

// With returns a context whose records carry these attributes, after those that ctx already
// carries. A repeated attribute replaces the earlier one.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	if len(attrs) == 0 {
		return ctx
	}
	merged := make([]slog.Attr, 0, len(attrs)+4)
	for _, old := range Attrs(ctx) {
		if !has(attrs, old.Key) {
			merged = append(merged, old)
		}
	}
	return context.WithValue(ctx, contextKey{}, append(merged, attrs...))
}

// Without returns a context whose records do not carry the attributes of these keys.
func Without(ctx context.Context, keys ...string) context.Context {
	kept := slices.DeleteFunc(slices.Clone(Attrs(ctx)), func(a slog.Attr) bool { return slices.Contains(keys, a.Key) })
	return context.WithValue(ctx, contextKey{}, kept)
}

// Attrs are the attributes that ctx carries. The slice must not be changed.
func Attrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(contextKey{}).([]slog.Attr)
	return attrs
}

func has(attrs []slog.Attr, key string) bool {
	for _, a := range attrs {
		if a.Key == key {
			return true
		}
	}
	return false
}
