package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/worker"
)

// ErrInterrupt is the cause of a context that a person ended with Ctrl-C.
var ErrInterrupt = errors.New("interrupted by Ctrl-C")

// stop ends everything. If ctx has ended, it first settles what happens to running steps; then it ends the parts, the
// last started first. Another Ctrl-C after the one that ended ctx makes them hurry. It may be called again, since it also
// stops the parts before they are started afresh.
func (u *Up) stop(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	u.stopUnder(ctx, signals)
}

func (u *Up) stopUnder(ctx context.Context, signals <-chan os.Signal) {
	asked := ctx.Err() != nil
	if asked {
		u.settleSteps(errors.Is(context.Cause(ctx), ErrInterrupt), signals)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		if !asked {
			select {
			case <-signals: // the one that ended ctx
			case <-done:
				return
			}
		}
		select {
		case <-signals:
			u.Log.Warn("stopping at once")
			u.hurryUp()
		case <-done:
		}
	}()
	for _, v := range slices.Backward(u.running) {
		v.end()
	}
}

// settleSteps decides what happens to running steps: they go on, unless the setting or the person at the terminal says
// otherwise. A signal while the person is being asked, or waits, means: keep them.
func (u *Up) settleSteps(interrupted bool, again <-chan os.Signal) {
	if u.worker == nil || u.EndSteps {
		return // none was started, or the worker ends them
	}
	const limit = 2 * time.Second
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	look, done := context.WithTimeout(ctx, limit)
	defer done()
	running, err := worker.Running(look, u.DataDir)
	if err != nil || len(running) == 0 {
		return // a worker that does not answer, or was never ready, leaves its steps as they are
	}
	go func() {
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	if interrupted && u.Ask != nil && !u.KeepSteps {
		switch u.askSteps(ctx, len(running)) {
		case "w":
			if u.awaitSteps(ctx) {
				return
			}
		case "s":
			end, done := context.WithTimeout(context.Background(), limit)
			defer done()
			if err = worker.EndWithWorker(end, u.DataDir); err == nil {
				return
			}
			u.Log.Error("steps cannot be stopped", "error", err)
		}
	}
	u.Log.Info("steps go on; the next up comes back to them", "steps", len(running))
}

// askSteps returns the first letter of the person's answer: k, w or s. No answer means keep.
func (u *Up) askSteps(ctx context.Context, n int) string {
	steps, them := fmt.Sprintf("%d steps are", n), "them"
	if n == 1 {
		steps, them = "1 step is", "it"
	}
	question := fmt.Sprintf("%s running: keep %s running, wait, or stop %s? [k]eep / [w]ait / [s]top: ", steps, them, them)
	for {
		answer, ok := u.Ask(ctx, question)
		if !ok {
			return "k"
		}
		switch answer = strings.ToLower(strings.TrimSpace(answer)); answer {
		case "", "k", "keep":
			return "k"
		case "w", "wait", "s", "stop":
			return answer[:1]
		}
	}
}

// awaitSteps makes the worker finish what runs, take nothing new, and end. It reports whether that happened before ctx
// was done.
func (u *Up) awaitSteps(ctx context.Context) bool {
	const forGood = 1000 * time.Hour
	u.worker.leave.Store(true)
	said := -1
	_, err := worker.Drain(ctx, u.DataDir, forGood, func(p worker.DrainProgress) {
		if n := len(p.Running); n != said {
			said = n
			u.Log.Info("waiting for steps; Ctrl-C keeps them running and stops the rest", "steps", n)
		}
	})
	if err != nil && ctx.Err() == nil {
		u.Log.Warn("the worker ended before its steps did", "error", err)
	}
	return err == nil
}
