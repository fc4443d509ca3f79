// Package ui holds the built web UI, embedded in the binary.
//
// `npm run build` in this folder fills dist/; before that it holds only a
// placeholder, so that the Go code builds on a fresh clone. A caller tells the
// two apart by the presence of index.html.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// FS returns the files of the built UI, with index.html at its root when the
// UI was built.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		// dist is a constant, valid path: fs.Sub cannot refuse it.
		panic(err)
	}

	return sub
}
