// Command holdfast-supervisor owns the processes of one step. A worker starts it. It is
// `holdfast supervise` as a separate program, which starts in a tenth of the time.
package main

import (
	"fmt"
	"os"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
)

func main() {
	code, ok := supervisor.Main(os.Args[1:])
	if !ok {
		fmt.Fprintln(os.Stderr, "holdfast-supervisor is started by a worker, not by hand")
		code = 2
	}
	os.Exit(code)
}
