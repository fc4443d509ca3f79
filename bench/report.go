package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// measurement is one figure of a row.
type measurement struct {
	Number int     `json:"number"`
	Row    string  `json:"row"`
	Figure string  `json:"figure"` // what was measured
	Value  float64 `json:"value"`  // the median of the rounds, or of the samples of the only one
	Unit   string  `json:"unit"`
	Better string  `json:"better,omitempty"` // lower or higher
	Goal   float64 `json:"goal,omitempty"`   // of Value
	// Bare is the reference, measured in the same rounds; 0 for none. Ratio is Value / Bare.
	Bare      float64   `json:"bare,omitempty"`
	Ratio     float64   `json:"ratio,omitempty"`
	RatioGoal float64   `json:"ratio_goal,omitempty"`
	Rounds    []float64 `json:"rounds,omitempty"` // one value for each round
	BareRound []float64 `json:"bare_rounds,omitempty"`
	Samples   []float64 `json:"samples,omitempty"` // all samples, in order
	BareTaken []float64 `json:"bare_samples,omitempty"`
}

const lower, higher = "lower", "higher"

// one is a figure whose samples were taken once, one after another.
func one(figure, unit string, goal float64, better string, samples []float64) measurement {
	return measurement{Figure: figure, Unit: unit, Goal: goal, Better: better, Value: quantile(samples, 0.5), Samples: samples}
}

// compared is a figure measured in rounds, each next to one of the reference.
func compared(figure, unit string, ours, bare rounds) measurement {
	m := measurement{
		Figure: figure, Unit: unit, Value: ours.median(), Bare: bare.median(),
		Rounds: ours.values(), BareRound: bare.values(), Samples: ours.samples(), BareTaken: bare.samples(),
	}
	if m.Bare > 0 {
		m.Ratio = m.Value / m.Bare
	}
	return m
}

// rounds holds the samples of each round.
type rounds [][]float64

func (r rounds) values() []float64 {
	var values []float64
	for _, samples := range r {
		values = append(values, quantile(samples, 0.5))
	}
	return values
}

func (r rounds) median() float64 { return quantile(r.values(), 0.5) }

// samples is nil when the values of the rounds say everything.
func (r rounds) samples() []float64 {
	if len(r) == 0 || len(r[0]) < 2 {
		return nil
	}
	return slices.Concat(r...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile of unsorted values; q from 0 to 1.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// goal is the figure's goal, and whether it is met.
func (m *measurement) goal() (text, met string) {
	sign := map[string]string{lower: "≤", higher: "≥"}[m.Better]
	value, limit := m.Value, m.Goal
	switch {
	case m.RatioGoal > 0:
		text = fmt.Sprintf("%s %g × bare", sign, m.RatioGoal)
		value, limit = m.Ratio, m.RatioGoal
	case m.Goal > 0:
		text = fmt.Sprintf("%s %g", sign, m.Goal)
	default:
		return "", ""
	}
	if (m.Better == lower && value <= limit) || (m.Better == higher && value >= limit) {
		return text, "yes"
	}
	return text, "no"
}

func printTable(to io.Writer, all []measurement) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "#\trow\tfigure\tunit\tours\tbare\tratio\tgoal\tmet")
	for i := range all {
		m := &all[i]
		bare, ratio := "", ""
		if m.Bare > 0 {
			bare, ratio = fmt.Sprintf("%.4g", m.Bare), fmt.Sprintf("%.2f", m.Ratio)
		}
		goal, met := m.goal()
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%.4g\t%s\t%s\t%s\t%s\n", m.Number, m.Row, m.Figure, m.Unit, m.Value, bare, ratio, goal, met)
	}
	_ = t.Flush()
}

// result is the file that a run writes.
type result struct {
	At           time.Time     `json:"at"`
	Commit       string        `json:"commit"`
	Version      string        `json:"version"` // of the measured program
	Machine      machine       `json:"machine"`
	Small        bool          `json:"small,omitempty"`
	Idle         int           `json:"idle"`
	Turns        int           `json:"turns"`
	Measurements []measurement `json:"measurements"`
}

// machine is where it was measured. The load averages show whether others used it.
type machine struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Kernel       string `json:"kernel"`
	Cores        int    `json:"cores"`
	Processor    string `json:"processor"`
	MemoryKB     int    `json:"memory_kb"`
	LoadBefore   string `json:"load_before"`
	LoadAfter    string `json:"load_after"`
}

func write(ctx context.Context, o options, before string, all []measurement) error {
	if err := os.MkdirAll(o.out, 0o750); err != nil {
		return err
	}
	memory, _ := kilobytes("/proc/meminfo", "MemTotal")
	r := result{
		At: time.Now().UTC().Truncate(time.Second), Commit: output(ctx, "git", "describe", "--always", "--dirty"), Version: output(ctx, o.bin, "version"),
		Small: o.small, Idle: o.idle, Turns: o.turns, Measurements: all,
		Machine: machine{
			OS: runtime.GOOS, Architecture: runtime.GOARCH, Kernel: output(ctx, "uname", "-r"), Cores: runtime.NumCPU(), Processor: processor(),
			MemoryKB: memory, LoadBefore: before, LoadAfter: loadAverage(),
		},
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(o.out, r.At.Format("20060102-150405")+".json")
	fmt.Fprintln(os.Stderr, "written to", name)
	return os.WriteFile(name, append(b, '\n'), 0o600)
}

// output is the first line that a program prints; "" when it cannot.
func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return ""
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// kilobytes reads a field of a file in /proc whose lines look like "VmRSS:  1234 kB".
func kilobytes(file, field string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, field+":"); ok {
			var n int
			_, err := fmt.Sscanf(text, "%d kB", &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, field)
}
