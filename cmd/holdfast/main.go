// Command holdfast is the session server and the tools to use it. See `holdfast --help`.
package main

import (
	"context"
	"os"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/cmd/holdfast/cli"
)

func main() {
	if code, ok := supervisor.Main(os.Args[1:]); ok { // a step's process: run it before setting up anything else
		os.Exit(code)
	}
	ctx, stop := cli.NotifyContext(context.Background())
	code := cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}
