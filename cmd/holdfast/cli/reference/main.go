// Command reference writes the command reference of the documentation. Run it by go generate.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/cli"
)

func main() {
	_ = os.Unsetenv("COLUMNS") // the width of the help follows it
	var b bytes.Buffer
	err := cli.WriteReference(&b)
	if err == nil {
		err = os.WriteFile(os.Args[1], b.Bytes(), 0o644) //nolint:gosec // to be read by everyone
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}
