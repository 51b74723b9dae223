package compat

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/test/process"
)

// block is a fenced block of code with the heading or the bold line above it.
type block struct{ title, language, code string }

func blocks(t *testing.T, text, from, to string) []block {
	t.Helper()
	_, text, ok := strings.Cut(text, from)
	if !ok {
		t.Fatalf("no %q", from)
	}
	text, _, ok = strings.Cut(text, to)
	if !ok {
		t.Fatalf("no %q after %q", to, from)
	}
	var out []block
	for _, m := range regexp.MustCompile("(?s)\\*\\*([^*\n]+)\\*\\*[^\n]*\n\n```(\\w+)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out = append(out, block{m[1], m[2], m[3]})
	}
	return out
}

// TestReadme does what the README tells a newcomer to do for a first trace,
// with every client that it names.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	list := blocks(t, string(text), "## Your first trace", "\n## ")
	if len(list) < 6 {
		t.Fatalf("%d blocks of code for a first trace", len(list))
	}
	traceID := regexp.MustCompile(`1-[0-9a-f]{8}-[0-9a-f]{24}`)
	for _, b := range list {
		t.Run(b.title, func(t *testing.T) {
			var interpreter func(t *testing.T) string
			switch b.language {
			case "python":
				interpreter = python
			case "js":
				interpreter = node
			case "sh":
				interpreter = func(t *testing.T) string { return filepath.Dir(python(t)) }
			case "go":
				interpreter = func(*testing.T) string { return "go" }
			default:
				t.Fatalf("language %q", b.language)
			}
			tool := interpreter(t)
			s := serve(t)
			env := environment("AWS_XRAY_DAEMON_ADDRESS="+s.Address, "ROENTGEN_ENDPOINT="+s.URL)
			// Nobody's environment says anything about AWS in their first minute.
			env = slices.DeleteFunc(env, func(kv string) bool {
				return strings.HasPrefix(kv, "AWS_ACCESS_KEY") || strings.HasPrefix(kv, "AWS_SECRET") || strings.HasPrefix(kv, "AWS_REGION") || strings.HasPrefix(kv, "AWS_DEFAULT_REGION")
			})
			code := strings.ReplaceAll(b.code, "127.0.0.1:2000", s.Address)
			dir := t.TempDir()
			write := func(name, text string) string {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o777); err != nil {
					t.Fatal(err)
				}
				return path
			}

			var out string
			switch b.language {
			case "python":
				out = program(t, env, tool, write("first.py", code))
			case "js":
				// Modules are found from the folder of the program.
				here, err := filepath.Abs(".")
				if err != nil {
					t.Fatal(err)
				}
				out = program(t, append(env, "NODE_PATH="+filepath.Join(here, "node_modules")), tool, write("first.cjs", code))
			case "go":
				out = program(t, env, buildGo(t, write, code))
			case "sh":
				if err := os.Symlink(process.Binary(t), filepath.Join(dir, "roentgen")); err != nil {
					t.Fatal(err)
				}
				env = append(env, "PATH="+tool+string(os.PathListSeparator)+os.Getenv("PATH"))
				out = program(t, env, "bash", "-euc", "cd "+dir+"\n"+code)
			}
			// The program says which trace it made, or names it itself.
			id := traceID.FindString(out)
			if id == "" {
				id = traceID.FindString(code)
			}
			if id == "" {
				if strings.Contains(out, "UnprocessedTraceSegments': []") {
					return // boto3's prints the answer, and that says it
				}
				t.Fatalf("no trace id in what it printed: %q", out)
			}
			eventually(t, "trace "+id+" arrived", func() bool {
				got, ok := s.get(t, id)
				return ok && len(got.Segments) > 0 && strings.Contains(got.Segments[0].Document, `"name":"hello"`)
			})
		})
	}
}

// buildGo builds the README's lines of Go as a program, in the module that
// knows the X-Ray SDK, through an overlay, so that nothing is left there.
func buildGo(t *testing.T, write func(name, text string) string, code string) string {
	t.Helper()
	source := write("first.go", "package main\n\nimport (\n\"context\"\n\"fmt\"\n\"time\"\n\n\"github.com/aws/aws-xray-sdk-go/xray\"\n)\n\nfunc main() {\n"+code+"\n}\n")
	module, err := filepath.Abs("go-sdk")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(module, "first", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(source), "first")
	build := exec.Command("go", "build", "-overlay", write("overlay.json", string(overlay)), "-o", path, "./first")
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
