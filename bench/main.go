// Command bench measures a running product: it starts bin/holdfast up on a fresh data
// directory, works it as a client would, prints a table of medians against their goals and
// writes the same as JSON.
//
//	go run ./bench [-small] [-only approval] [-out bench/results]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// measurement is one figure of a row.
type measurement struct {
	Row    string    `json:"row"`
	Figure string    `json:"figure"` // what was measured
	Value  float64   `json:"value"`  // the median of the runs
	Unit   string    `json:"unit"`
	Goal   float64   `json:"goal,omitempty"`
	Better string    `json:"better,omitempty"` // lower or higher
	Runs   []float64 `json:"runs"`
}

// row is one piece of work that is measured.
type row struct {
	name string
	run  func(ctx context.Context, w *world) ([]measurement, error)
}

var rows = []row{
	{"create", benchCreate},
	{"approval", benchApproval},
	{"live", benchLive},
	{"lines", benchLines},
	{"cancel", benchCancel},
}

func main() {
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	small := flag.Bool("small", false, "little work, once: only to see that it runs")
	only := flag.String("only", "", "measure only the row of this name")
	out := flag.String("out", "bench/results", "where the JSON goes; nowhere when empty")
	bin := flag.String("bin", "bin/holdfast", "the program to measure")
	flag.Parse()
	return run(ctx, *bin, *out, *only, *small)
}

func run(ctx context.Context, bin, out, only string, small bool) error {
	w, err := start(ctx, bin, small)
	if err != nil {
		return err
	}
	defer w.stop()
	var all []measurement
	for _, r := range rows {
		if only != "" && only != r.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s\n", r.name)
		got, err := r.run(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		for i := range got {
			got[i].Row = r.name
		}
		all = append(all, got...)
	}
	printTable(all)
	if out == "" {
		return nil
	}
	return write(ctx, out, all)
}

func printTable(all []measurement) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tfigure\tmedian\tunit\tgoal\tratio to goal")
	for _, m := range all {
		goal, ratio := "", ""
		if m.Goal > 0 {
			goal, ratio = fmt.Sprintf("%s %g", map[string]string{"lower": "≤", "higher": "≥"}[m.Better], m.Goal), fmt.Sprintf("%.2f", m.Value/m.Goal)
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%s\t%s\t%s\n", m.Row, m.Figure, m.Value, m.Unit, goal, ratio)
	}
	_ = t.Flush()
}

// result is the file that a run leaves.
type result struct {
	At           time.Time     `json:"at"`
	Version      string        `json:"version"`
	OS           string        `json:"os"`
	Architecture string        `json:"architecture"`
	Cores        int           `json:"cores"`
	Processor    string        `json:"processor"`
	Measurements []measurement `json:"measurements"`
}

func write(ctx context.Context, dir string, all []measurement) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	r := result{
		At: time.Now().UTC().Truncate(time.Second), Version: version(ctx), OS: runtime.GOOS, Architecture: runtime.GOARCH,
		Cores: runtime.NumCPU(), Processor: processor(), Measurements: all,
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, r.At.Format("20060102-150405")+".json")
	fmt.Fprintln(os.Stderr, "written to", name)
	return os.WriteFile(name, append(b, '\n'), 0o600)
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
