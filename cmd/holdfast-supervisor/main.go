// Command holdfast-supervisor owns the processes of one step. A worker starts it; it is
// `holdfast supervise` in a program of its own, which starts in a tenth of the time.
package main

import (
	"os"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
)

func main() { os.Exit(supervisor.Run()) }
