// Package sharedtest finds what tests read from beside and above them: the root
// of the repository, and the folder ../shared next to it, with specifications
// and real data that must not be copied into it.
package sharedtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Root returns the folder that holds go.mod, above the test's own.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Path returns a file or folder of ../shared, and skips the test, saying so,
// where it is not there.
func Path(t testing.TB, path string) string {
	t.Helper()
	path = filepath.Join(filepath.Dir(Root(t)), "shared", path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: ../shared is not here: %v", err)
	}
	return path
}
