package testkit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Option is something that [Main] starts before the tests and stops after them.
type Option func() (stop func() error, err error)

// Main starts what the options ask for, all at the same time, runs the package's tests, stops it all, and then fails when a
// goroutine is left. It returns the exit code for os.Exit:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M, options ...Option) int {
	flag.Parse()
	stops, errs := make([]func() error, len(options)), make([]error, len(options))
	var starting sync.WaitGroup
	for i, option := range options {
		starting.Go(func() { stops[i], errs[i] = option() })
	}
	starting.Wait()
	code := 1
	if err := errors.Join(errs...); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "start what the tests need:", err)
	} else {
		code = m.Run()
	}
	for _, stop := range stops {
		if stop == nil {
			continue
		}
		if err := stop(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "stop what the tests needed:", err)
			code = max(code, 1)
		}
	}
	if code != 0 {
		return code // a test that failed halfway leaves what it likes
	}
	if err := goleak.Find(foreign()...); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "after all tests of the package:", err)
		return 1
	}
	return 0
}

// foreign are the goroutines of libraries that end later than we can wait for, or never.
func foreign() []goleak.Option {
	return []goleak.Option{
		// fasthttp's clock runs as long as the process does, and its pools find out only after ten seconds that they are stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// A lookup that was cancelled still waits for the name server's answer, for 5 s at most.
		goleak.IgnoreAnyFunction("net.(*Resolver).lookupIPAddr.func2"),
		goleak.IgnoreAnyFunction("net.(*Resolver).goLookupIPCNAMEOrder"),
		goleak.IgnoreAnyFunction("net.(*Resolver).exchange"),
	}
}
