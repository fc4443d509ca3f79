package logs

import (
	"context"
	"log/slog"
)

// Handler adds the context's attributes to each record and passes it on. No record that it passes on names an attribute
// twice: the record's own wins over that of its logger, and a logger's over that of the context.
type Handler struct {
	inner   slog.Handler
	known   []slog.Attr // attributes given by Logger.With, each once
	grouped bool        // within a group the record's attributes have other names
}

var _ slog.Handler = (*Handler)(nil)

// NewHandler wraps a handler.
func NewHandler(inner slog.Handler) *Handler { return &Handler{inner: inner} }

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	own := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool { own = merge(own, a); return true })
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	for _, a := range h.known {
		if !has(own, a.Key) {
			out.AddAttrs(a)
		}
	}
	out.AddAttrs(own...)
	for _, a := range Attrs(ctx) {
		if !has(own, a.Key) && !has(h.known, a.Key) {
			out.AddAttrs(a)
		}
	}
	return h.inner.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if h.grouped {
		return &Handler{inner: h.inner.WithAttrs(attrs), grouped: true}
	}
	return &Handler{inner: h.inner, known: merge(append([]slog.Attr{}, h.known...), attrs...)}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	inner := h.inner
	if len(h.known) > 0 {
		inner = inner.WithAttrs(h.known)
	}
	return &Handler{inner: inner.WithGroup(name), grouped: true}
}

// merge adds attributes to a list; one that is there already gets the new value.
func merge(list []slog.Attr, attrs ...slog.Attr) []slog.Attr {
next:
	for _, a := range attrs {
		if a.Key != "" { // else it is a group whose attributes stand beside the others
			for i := range list {
				if list[i].Key == a.Key {
					list[i] = a
					continue next
				}
			}
		}
		list = append(list, a)
	}
	return list
}
