//go:build unix

package runner

import (
	"context"
	"log/slog"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// Figures say what a runner has.
type Figures struct {
	Running      int   // steps, without those that wait
	WaitForSlots int   // for cores or memory that others use
	WaitForHost  int   // for something that the host lacks
	SpoolBytes   int64 // printed and not recorded yet
}

// Figures counts.
func (r *Runner) Figures() Figures {
	f := Figures{WaitForSlots: r.o.Slots.Waiting()}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.WaitForHost = len(r.short)
	f.Running = max(len(r.live)-f.WaitForSlots-f.WaitForHost, 0)
	for _, run := range r.live {
		f.SpoolBytes += run.spooled()
	}
	return f
}

// spooled is how much of a step's output is not recorded yet. What its supervisor says of it counts, not what was read:
// whoever reads stands still while Postgres is away.
func (r *running) spooled() int64 {
	s := r.following.Load()
	if s == nil {
		return 0
	}
	return max(s.printed()-r.recorded.Load(), 0)
}

// about is a context whose log records say which step they are about.
func about(ctx context.Context, arg *schema.RunStep, more ...slog.Attr) context.Context {
	return logs.With(ctx, append([]slog.Attr{logs.Session(arg.SessionID), logs.Run(arg.RunID), logs.Step(arg.StepID)}, more...)...)
}
