// Command pack writes the example plans: each folder of src/ has a plan.json with the steps,
// and the files that go into the plan. Run it by go generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast/holdfast/examples/packing"
)

func main() {
	folders, err := filepath.Glob("src/*")
	for _, folder := range folders {
		var plan []byte
		if plan, err = packing.Pack(folder); err != nil {
			break
		}
		if err = os.WriteFile(filepath.Base(folder)+".json", plan, 0o644); err != nil { //nolint:gosec // to be read by everyone
			break
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}
