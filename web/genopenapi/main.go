// Command genopenapi writes web/openapi.json, from which the UI's types are generated. It
// is run by go generate, in package web's folder.
package main

import (
	"fmt"
	"os"

	"github.com/holdfast/holdfast/web"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	document, err := web.OpenAPI()
	if err != nil {
		return err
	}
	path := "openapi.json"
	if _, err := os.Stat("web/openapi.go"); err == nil { // run from the module's root
		path = "web/openapi.json"
	}
	return os.WriteFile(path, document, 0o600)
}
