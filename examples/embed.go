// Package examples holds the plans that come with Holdfast. They run with sh and python3
// and nothing else.
//
// FS has index.json, a list of {id, title, description, file}, and the plans that it names. A plan
// carries its programs as text; they are kept as files under src/ and packed by go generate.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli.
package examples

import (
	"embed"
	"io/fs"
)

//go:generate go run ./pack

//go:embed index.json hello.json spectrum.json parallel.json recovery.json ask.json
var files embed.FS

// FS returns index.json and the plans.
func FS() fs.FS { return files }
