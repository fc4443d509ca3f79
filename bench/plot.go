package main

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"strings"
)

// A plot shows the figures that have a reference: ours as a multiple of bare. The scale is logarithmic, so that twice
// and half are equally far from the reference.
const (
	plotWidth    = 900
	plotLeft     = 400 // where the scale begins
	plotRight    = 790 // where it ends
	plotTop      = 60
	plotLine     = 44
	plotSmallest = 0.05
	plotLargest  = 100
)

// plot writes the measurements of results as an SVG file.
func plot(to string, results []string) error {
	var all []measurement
	var from []string
	for _, name := range results {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var r result
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		from = append(from, fmt.Sprintf("%s of %s on %d cores, load %s before and %s after",
			r.Commit, r.At.Format("2006-01-02 15:04"), r.Machine.Cores, r.Machine.LoadBefore, r.Machine.LoadAfter))
		for i := range r.Measurements {
			if m := r.Measurements[i]; m.Bare > 0 && m.RatioGoal > 0 {
				all = append(all, m)
			}
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no figure of %s has a reference", strings.Join(results, ", "))
	}
	return os.WriteFile(to, []byte(svg(all, from)), 0o644) //nolint:gosec // everyone may read it
}

// across is a ratio's place on the scale, in pixels.
func across(ratio float64) float64 {
	part := math.Log(min(max(ratio, plotSmallest), plotLargest)/plotSmallest) / math.Log(plotLargest/plotSmallest)
	return plotLeft + part*(plotRight-plotLeft)
}

func svg(all []measurement, from []string) string {
	var b strings.Builder
	put := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	text := func(x, y float64, class, words string) {
		put(`<text x="%.0f" y="%.0f" class="%s">%s</text>`, x, y, class, html.EscapeString(words))
	}
	bottom := plotTop + plotLine*len(all)
	put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">`, plotWidth, bottom+40+16*len(from))
	put(`<style>.label{fill:#1c2430}.note{fill:#5b6675;font-size:11px}.title{fill:#1c2430;font-size:16px;font-weight:600}.mid{text-anchor:middle}</style>`)
	put(`<rect width="100%%" height="100%%" fill="#ffffff"/>`)
	text(16, 26, "title", "Holdfast next to the bare parts (1 = as the reference)")
	for _, mark := range []float64{0.1, 0.5, 1, 2, 10, 50} {
		color := "#d5dae1"
		if mark == 1 {
			color = "#5b6675"
		}
		put(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>`, across(mark), across(mark), plotTop-8, bottom, color)
		text(across(mark), float64(bottom+16), "note mid", fmt.Sprintf("%g ×", mark))
	}
	for i := range all {
		m := &all[i]
		y := float64(plotTop + plotLine*i)
		name, reference, _ := strings.Cut(m.Figure, "; ")
		text(16, y+12, "label", fmt.Sprintf("%d  %s", m.Number, name))
		goal, met := m.goal()
		text(16, y+27, "note", strings.Trim(fmt.Sprintf("goal %s · %s", goal, reference), " ·"))
		color := "#2f7d4f"
		if met != "yes" {
			color = "#b3412f"
		}
		left, right := min(across(1), across(m.Ratio)), max(across(1), across(m.Ratio))
		put(`<rect x="%.1f" y="%.1f" width="%.1f" height="16" fill="%s" rx="2"/>`, left, y+4, max(right-left, 2), color)
		put(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#1c2430" stroke-width="2" stroke-dasharray="3 2"/>`,
			across(m.RatioGoal), across(m.RatioGoal), y, y+24)
		text(plotRight+10, y+17, "label", fmt.Sprintf("%.3g ×", m.Ratio))
		text(plotLeft, y+35, "note", fmt.Sprintf("ours %s · bare %s", figure(m.Value, m.Unit), figure(m.Bare, m.Unit)))
	}
	for i, words := range from {
		text(16, float64(bottom+40+16*i), "note", words)
	}
	put(`</svg>`)
	return b.String()
}

// figure is a value with its unit, in three digits.
func figure(value float64, unit string) string {
	switch per := strings.TrimPrefix(unit, "1"); {
	case value >= 1e6:
		return fmt.Sprintf("%.3g M%s", value/1e6, per)
	case value >= 1e4:
		return fmt.Sprintf("%.3g k%s", value/1e3, per)
	case per != unit:
		return fmt.Sprintf("%.4g%s", value, per)
	default:
		return fmt.Sprintf("%.3g %s", value, unit)
	}
}
