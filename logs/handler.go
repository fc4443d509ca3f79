package logs

import (
	"context"
	"log/slog"
)

// Handler adds the context's attributes to each record and passes it on.
type Handler struct {
	inner   slog.Handler
	known   []slog.Attr // attributes given by Logger.With; the context does not repeat them
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
	attrs := Attrs(ctx)
	if len(attrs) == 0 {
		return h.inner.Handle(ctx, r)
	}
	own := make([]slog.Attr, 0, r.NumAttrs())
	if !h.grouped {
		r.Attrs(func(a slog.Attr) bool { own = append(own, a); return true })
	}
	out := r.Clone()
	for _, a := range attrs {
		if !has(own, a.Key) && !has(h.known, a.Key) {
			out.AddAttrs(a)
		}
	}
	return h.inner.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &Handler{inner: h.inner.WithAttrs(attrs), known: h.known, grouped: h.grouped}
	if !h.grouped {
		next.known = append(append([]slog.Attr{}, h.known...), attrs...)
	}
	return next
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &Handler{inner: h.inner.WithGroup(name), known: h.known, grouped: true}
}
