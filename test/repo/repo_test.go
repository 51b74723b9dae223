package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
)

// module is the import path that every package of ours begins with.
const module = "github.com/roentgen-io/roentgen"

// output runs a command in the repository's root and returns what it printed.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = sharedtest.Root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath   string
	Dir          string
	Name         string
	Imports      []string // direct, without those of tests
	Deps         []string // direct and indirect, without those of tests
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// packages lists every package of the product's module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(output(t, "go", "list",
		"-json=ImportPath,Dir,Name,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles", "./...")))
	var list []goPackage
	for {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list names %d packages; the layout has more", len(list))
	}
	return list
}

// tracked returns the files that git knows or would add, relative to the root.
func tracked(t *testing.T) []string {
	t.Helper()
	var files []string
	for name := range strings.SplitSeq(string(output(t, "git", "ls-files", "-co", "--exclude-standard", "-z")), "\x00") {
		if name == "" {
			continue
		}
		if fi, err := os.Lstat(filepath.Join(sharedtest.Root(t), name)); err != nil || !fi.Mode().IsRegular() {
			continue // deleted and not yet committed, or a link
		}
		files = append(files, name)
	}
	if len(files) < 20 {
		t.Fatalf("git lists %d files; the repository has more", len(files))
	}
	return files
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(sharedtest.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
