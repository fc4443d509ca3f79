package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast/holdfast/cmd/holdfast/stack"
)

// NotifyContext is a context that ends with the first signal that asks the program to stop: Ctrl-C, SIGTERM, or SIGHUP
// when its terminal is gone. A signal that was ignored from the start, as under nohup, stays ignored. The cause of Ctrl-C
// is [stack.ErrInterrupt].
func NotifyContext(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	var list []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return ctx, func() { cancel(nil) }
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, list...)
	go func() {
		select {
		case s := <-signals:
			if s == os.Interrupt {
				cancel(fmt.Errorf("%w: %w", stack.ErrInterrupt, context.Canceled))
			}
			cancel(nil)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
