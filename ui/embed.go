// Package ui holds the built web page, so that a checkout without Node builds a
// server that has it. The sources beside this file are built into dist by `make ui`;
// a stage of `make test` builds them again and fails when the committed files differ.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var built embed.FS

// Files returns the built page: index.html, and everything it loads. What lies below
// assets/ has a hash of its content in its name.
func Files() fs.FS {
	files, err := fs.Sub(built, "dist")
	if err != nil {
		panic(err) // the name above is wrong
	}
	return files
}
