package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rules names the imports that would turn the direction of the design round.
// A pattern is a path below the module, and covers what lies below it.
var rules = []struct {
	from   string
	not    []string
	reason string
}{
	{"segment", []string{"internal", "cmd", "ui"},
		"segment is public: a program that takes it must not drag the server along"},
	{"internal/trace", []string{"internal/tracestore", "internal/ingest", "internal/query", "internal/xrayapi", "internal/receiver", "internal/server", "internal/cli"},
		"assembly is a function of documents; it must run without a store, in tests, in lint and in the page"},
	{"internal/servicegraph", []string{"internal/tracestore", "internal/ingest", "internal/query", "internal/filterexpr", "internal/xrayapi", "internal/receiver", "internal/server", "internal/cli"},
		"what a trace adds to the graph is a function of the trace; stores keep it and handlers show it"},
	{"internal/filterexpr", []string{"internal/tracestore", "internal/ingest", "internal/query", "internal/xrayapi", "internal/receiver", "internal/server", "internal/cli"},
		"an expression is judged on rows, wherever they come from: in engines, for groups, in the page"},
	{"internal/tracestore", []string{"internal/control", "internal/filterexpr", "internal/xrayapi", "internal/receiver", "internal/query", "internal/ingest", "internal/server", "internal/cli"},
		"an engine keeps documents; who asks for them, and over which wire, is not its business"},
	{"internal/ingest", []string{"internal/xrayapi", "internal/receiver", "internal/query", "internal/server", "internal/cli", "internal/tracestore/pebblestore"},
		"the way in is the same for every receiver and every engine"},
	{"internal/query", []string{"internal/xrayapi", "internal/receiver", "internal/ingest", "internal/server", "internal/cli", "internal/tracestore/pebblestore"},
		"nothing in query or above may know which engine is below"},
	{"internal/control", []string{"internal/xrayapi", "internal/receiver", "internal/query", "internal/ingest", "internal/server", "internal/cli", "internal/config", "internal/tracestore/pebblestore", "internal/filterexpr"},
		"control keeps what people configured; the engine and the language of filters are handed to it"},
	{"internal/sampling", []string{"internal", "segment"},
		"who gets which quota is arithmetic: no store, no wire, no clock of its own"},
	{"internal/reports", []string{"internal/tracestore", "internal/ingest", "internal/query", "internal/control", "internal/xrayapi", "internal/receiver", "internal/webapi", "internal/server", "internal/cli", "internal/config", "segment"},
		"what daemons report is small change: it must not need the store to be kept"},
	{"internal/snapshot", []string{"internal"},
		"small files are read and written anew for keys and reports alike; it knows neither"},
	{"internal/receiver", []string{"internal/xrayapi", "internal/query", "internal/tracestore/pebblestore", "internal/server", "internal/cli"},
		"a receiver hands documents to ingest; answering questions is another room"},
	{"internal/xrayapi", []string{"internal/receiver", "internal/tracestore/pebblestore", "internal/server", "internal/cli"},
		"handlers never ask which engine they hold, nor how documents arrived"},
	{"internal/otlp", []string{"internal/tracestore", "internal/ingest", "internal/query", "internal/xrayapi", "internal/receiver", "internal/server", "internal/cli"},
		"the mapping is a function of bytes; the store, the agent and the page use it alike"},
	{"internal/neighbours", []string{"internal/receiver", "internal/tracestore/pebblestore", "internal/server", "internal/cli"},
		"handlers never ask which engine they hold, nor how documents arrived"},
	{"internal/telemetry", []string{"internal/xrayapi", "internal/receiver", "internal/server", "internal/cli", "internal/tracestore/pebblestore"},
		"what shows every component must not pull them in"},
	{"internal/freshfile", []string{"internal"},
		"files are followed for keys and certificates alike; it knows neither"},
	{"internal/ratelimit", []string{"internal"},
		"a rate is a rate, whoever it bounds"},
	{"internal/keys", []string{"internal/xrayapi", "internal/access", "internal/receiver", "internal/server", "internal/cli", "internal/tracestore", "internal/config"},
		"the command line changes keys without a server"},
	{"internal/access", []string{"internal/receiver", "internal/webapi", "internal/server", "internal/cli", "internal/config", "internal/tracestore/pebblestore"},
		"the gate judges requests; which paths there are is told by the composition root"},
	{"internal/config", []string{"internal/server", "internal/cli", "internal/xrayapi", "internal/receiver", "internal/tracestore/pebblestore"},
		"settings are read before anything is built"},
	{"internal/agent", []string{"internal/server", "internal/cli", "internal/tracestore/pebblestore"},
		"an agent keeps documents until others have them; it is no server"},
	{"internal/agent/spool", []string{"internal/xrayapi", "internal/receiver", "internal/ingest", "internal/tracestore", "internal/trace", "segment"},
		"the spool keeps bytes; what they mean is its owner's business"},
	{"internal/server", []string{"internal/cli"},
		"commands start the server, not the other way round"},
}

// below reports whether the import path lies at or below a path of the module.
func below(path, pattern string) bool {
	full := module + "/" + pattern
	return path == full || strings.HasPrefix(path, full+"/")
}

func TestForbiddenImports(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range packages(t) {
		for _, r := range rules {
			if !below(p.ImportPath, r.from) {
				continue
			}
			seen[r.from] = true
			for _, dep := range p.Deps {
				for _, not := range r.not {
					// A package may always import what lies below its own rule.
					if below(dep, not) && !below(dep, r.from) {
						t.Errorf("%s depends on %s: %s", p.ImportPath, dep, r.reason)
					}
				}
			}
		}
	}
	for _, r := range rules {
		if !seen[r.from] {
			t.Errorf("the rule for %s guards no package: renamed?", r.from)
		}
	}
}

// TestOneCompositionRoot holds that engines are chosen in one place.
func TestOneCompositionRoot(t *testing.T) {
	allowed := []string{"internal/server", "internal/tracestore", "internal/cli", "internal/bench", "test"}
	for _, p := range packages(t) {
		if !slices.Contains(p.Imports, module+"/internal/tracestore/pebblestore") {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return below(p.ImportPath, a) }) {
			t.Errorf("%s imports pebblestore: only the composition root chooses the engine", p.ImportPath)
		}
	}
}

// TestNoTestCodeInTheBinary keeps test libraries out of what is shipped.
func TestNoTestCodeInTheBinary(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"/cmd/roentgen" {
			continue
		}
		for _, dep := range p.Deps {
			for _, bad := range []string{"testing", "go.uber.org/goleak", "github.com/cockroachdb/datadriven", "github.com/rogpeppe/go-internal/testscript", module + "/internal/tracestore/storetest"} {
				if dep == bad || strings.HasPrefix(dep, bad+"/") {
					t.Errorf("the binary contains %s, which is for tests", dep)
				}
			}
		}
		return
	}
	t.Error("no package cmd/roentgen")
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc == nil {
				continue
			}
			documented = true
			want := "Package " + p.Name + " "
			if p.Name == "main" {
				want = "Command "
			}
			if text := f.Doc.Text(); !strings.HasPrefix(text, want) {
				t.Errorf("%s/%s: the package comment begins %q, want %q", p.ImportPath, name, firstLine(text), want+"...")
			}
		}
		if !documented {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestExitOnlyInMain holds that only a main package ends the process, so that
// everything else can be tested and reused.
func TestExitOnlyInMain(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, ok := sel.X.(*ast.Ident)
				if !ok || pkg.Obj != nil {
					return true
				}
				switch pkg.Name + "." + sel.Sel.Name {
				case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln":
					t.Errorf("%s:%d: %s.%s outside of cmd", p.ImportPath, fset.Position(n.Pos()).Line, pkg.Name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
