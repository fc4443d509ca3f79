// Command gen writes what is derived from the wire: web/openapi.json, web/asyncapi.json and the
// tables of the TypeScript client. `go generate ./web/gen` runs it.
package main

//go:generate go run .

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/api"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// root is the module's, from where go generate runs this.
const root = "../.."

func run() error {
	openapi, asyncapi, err := api.Documents()
	if err != nil {
		return err
	}
	tables, err := codes()
	if err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		"web/openapi.json":                openapi,
		"web/asyncapi.json":               asyncapi,
		"clients/typescript/src/codes.ts": tables,
	} {
		if err := os.WriteFile(filepath.Join(root, path), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// codes are the tables of schema/wire that a client needs when it runs.
func codes() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("// Made from schema/wire/codes.go by `make generate`.\n\n")
	out.WriteString("// What the close codes from `from` to `to` ask of a client. The first rule whose range has the code counts.\n")
	out.WriteString("export const CLOSE_RULES = [\n")
	for _, r := range wire.CloseRules {
		why, err := json.Marshal(r.Why)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "  { from: %d, to: %d, action: '%s', why: %s, says: %t },\n", r.From, r.To, r.Action, why, r.Says)
	}
	out.WriteString("] as const;\n\n// The error codes after which the same frame, unchanged, may be taken later.\n")
	out.WriteString("export const RETRYABLE_CODES: ReadonlySet<string> = new Set([")
	separator := ""
	for _, r := range wire.Refusals {
		if r.Again {
			fmt.Fprintf(&out, "%s'%s'", separator, r.Code)
			separator = ", "
		}
	}
	out.WriteString("]);\n")
	return out.Bytes(), nil
}
