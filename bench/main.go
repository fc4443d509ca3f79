// Command bench measures a running product: for each row it starts bin/holdfast up on a fresh
// data directory and drives it as a client would, next to a bare reference where there is one.
// It prints a table and writes the same as JSON. docs/performance.md says what each row
// measures.
//
//	go run ./bench -plot docs/performance.svg bench/results/….json
//	go run ./bench [-small] [-only approval,starts] [-idle 10000] [-turns 1000] [-out bench/results]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// row is one piece of measured work. Its number is that in the table of docs/performance.md.
type row struct {
	number int
	name   string
	run    func(ctx context.Context, w *world) ([]measurement, error)
}

var rows = []row{
	{1, "sockets", benchSockets},
	{2, "connect", benchConnect},
	{3, "fanout", benchFanout},
	{7, "reconnect", benchReconnect},
	{8, "create", benchCreate},
	{9, "approval", benchApproval},
	{4, "live", benchLive},
	{5, "lines", benchLines},
	{6, "ten", benchTen},
	{12, "reattach", benchReattach},
	{13, "cancel", benchCancel},
	{10, "starts", benchStarts},
	{11, "decisions", benchDecisions},
	{15, "turns", benchTurns},
	{14, "idle", benchIdle},
	{17, "open", benchOpen},
	{18, "pages", benchPages},
}

// options are the options of a benchmark run.
type options struct {
	bin   string   // the program to measure
	out   string   // where the JSON goes; nowhere when empty
	only  []string // the names of the rows to measure; all when empty
	small bool     // little work, once: only to see whether it runs
	idle  int      // how many sessions idle at once
	turns int      // how many turns the long session has

	sockets int // how many viewers idle at once
}

// The sizes of a small run.
const (
	smallIdle  = 12
	smallTurns = 8

	smallSockets = 50
)

func main() {
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.BoolVar(&o.small, "small", false, "little work, once: only to see that it runs")
	only := flag.String("only", "", "measure only the rows of these names, separated by commas")
	flag.StringVar(&o.out, "out", "bench/results", "where the JSON goes; nowhere when empty")
	flag.StringVar(&o.bin, "bin", "bin/holdfast", "the program to measure")
	flag.IntVar(&o.idle, "idle", 10_000, "how many sessions idle at once in the row idle")
	flag.IntVar(&o.turns, "turns", 1000, "how many turns the long session has in the row turns")
	flag.IntVar(&o.sockets, "sockets", 10_000, "how many viewers idle at once in the row sockets")
	picture := flag.String("plot", "", "measure nothing: write the figures of the JSON files that follow as this SVG file")
	flag.Parse()
	if *picture != "" {
		return plot(*picture, flag.Args())
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return run(ctx, o)
}

func run(ctx context.Context, o options) error {
	for _, name := range o.only {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return fmt.Errorf("there is no row %q", name)
		}
	}
	if o.small {
		o.idle, o.turns, o.sockets = smallIdle, smallTurns, smallSockets
	}
	before := loadAverage()
	var (
		all []measurement
		w   *world
	)
	defer func() { w.stop() }()
	for _, r := range rows {
		if len(o.only) > 0 && !slices.Contains(o.only, r.name) {
			continue
		}
		// Each row has a product of its own: sessions left by one row would slow down the next.
		if w == nil || !o.small {
			w.stop()
			var err error
			if w, err = start(ctx, o); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "measuring %s\n", r.name)
		got, err := r.run(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, errors.Join(ctx.Err(), err))
		}
		for i := range got {
			got[i].Number, got[i].Row = r.number, r.name
		}
		all = append(all, got...)
		printTable(os.Stdout, got)
	}
	if o.out == "" {
		return nil
	}
	return write(ctx, o, before, all)
}
