// Command reference writes the documentation's command reference. Run it with go generate.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/cli"
)

func main() {
	_ = os.Unsetenv("COLUMNS") // it sets the width of the help
	var b bytes.Buffer
	err := cli.WriteReference(&b)
	if err == nil {
		err = os.WriteFile(os.Args[1], b.Bytes(), 0o644) //nolint:gosec // everyone may read it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}
