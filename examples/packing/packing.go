// Package packing makes a plan from a folder with its steps and its files.
//
// Imports: nothing of this module.
// Imported by: examples/pack.
package packing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Pack returns the text of the plan in a folder: the steps of its plan.json, one to a line, and
// every other file by name and text.
func Pack(folder string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(folder, "plan.json"))
	if err != nil {
		return nil, err
	}
	var plan struct {
		Steps []json.RawMessage `json:"steps"`
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("{\"steps\": [\n")
	for i, step := range plan.Steps {
		separate(&b, i)
		b.WriteString("  " + string(step))
	}
	b.WriteString("\n],\n \"files\": {\n")
	n := 0
	for _, e := range entries {
		if e.Name() == "plan.json" || e.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		separate(&b, n)
		b.WriteString("  " + quote(e.Name()) + ": " + quote(string(content)))
		n++
	}
	b.WriteString("\n}}\n")
	return b.Bytes(), nil
}

func separate(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteString(",\n")
	}
}

func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) //nolint:errchkjson // a string is always JSON
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}
