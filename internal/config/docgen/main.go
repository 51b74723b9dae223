// Command docgen writes docs/config.md from the table of settings.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/roentgen-io/roentgen/internal/config"
)

func main() {
	out := flag.String("o", "docs/config.md", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, []byte(config.Markdown()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}
