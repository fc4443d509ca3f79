package worker

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry"
)

// measure has what runs on this host measured.
func measure(o *Options, steps *runner.Runner) {
	number := func(m *telemetry.Metric, read func(f runner.Figures) float64) {
		o.Telemetry.Observed(m, func(_ context.Context, set telemetry.Set) { set(read(steps.Figures())) })
	}
	number(telemetry.StepsRunning, func(f runner.Figures) float64 { return float64(f.Running) })
	number(telemetry.SpoolBytes, func(f runner.Figures) float64 { return float64(f.SpoolBytes) })
	o.Telemetry.Observed(telemetry.StepsWaiting, func(_ context.Context, set telemetry.Set) {
		f := steps.Figures()
		set(float64(f.WaitForSlots), "slots")
		set(float64(f.WaitForHost), "host")
	})
	most, quota := float64(o.MaxSteps), float64(o.Quota.Bytes)
	number(telemetry.StepsMax, func(runner.Figures) float64 { return most })
	number(telemetry.QuotaBytes, func(runner.Figures) float64 { return quota })
}

// started measures how long a decision took to start the program that waited for it. A step that brings the record of the
// decision is what the decision started; one that waits for others, or for a place, comes later and brings none.
func started(t *telemetry.Telemetry) func(arg *schema.RunStep) {
	return func(arg *schema.RunStep) {
		if arg.Before == nil {
			return
		}
		var decided time.Time
		for i := range arg.Before.Close {
			if c := &arg.Before.Close[i]; c.Status == schema.ApprovalResolved && c.At.After(decided) {
				decided = c.At
			}
		}
		if !decided.IsZero() {
			t.Observe(telemetry.DecisionStart, max(time.Since(decided), 0).Seconds())
		}
	}
}
