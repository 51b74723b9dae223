package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFuzzTargetsHaveSeeds holds that each fuzz target starts from examples, in
// code or in testdata/fuzz: go test runs those every time, which is the part of
// fuzzing that CI sees.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	found := 0
	for _, p := range packages(t) {
		adders := make(map[string]bool) // functions that call Add on something
		var targets []*ast.FuncDecl
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				if strings.HasPrefix(fn.Name.Name, "Fuzz") && fn.Recv == nil {
					targets = append(targets, fn)
				}
				if callsAdd(fn) {
					adders[fn.Name.Name] = true
				}
			}
		}
		for _, fn := range targets {
			found++
			if callsAdd(fn) || handsOver(fn, adders) {
				continue
			}
			if seeds, err := os.ReadDir(filepath.Join(p.Dir, "testdata", "fuzz", fn.Name.Name)); err == nil && len(seeds) > 0 {
				continue
			}
			t.Errorf("%s: %s has no seeds", p.ImportPath, fn.Name.Name)
		}
	}
	if found < 4 {
		t.Errorf("%d fuzz targets; documents, datagrams, headers and stored records want one each", found)
	}
}

// callsAdd reports whether a function calls the method Add of its *testing.F.
func callsAdd(fn *ast.FuncDecl) bool {
	f := fuzzParam(fn)
	return f != "" && anyCall(fn, func(call *ast.CallExpr) bool {
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Add" {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		return ok && x.Name == f
	})
}

// handsOver reports whether a function calls one of adders with its *testing.F.
func handsOver(fn *ast.FuncDecl, adders map[string]bool) bool {
	f := fuzzParam(fn)
	return f != "" && anyCall(fn, func(call *ast.CallExpr) bool {
		name, ok := call.Fun.(*ast.Ident)
		return ok && adders[name.Name] && slices.ContainsFunc(call.Args, func(arg ast.Expr) bool {
			x, ok := arg.(*ast.Ident)
			return ok && x.Name == f
		})
	})
}

// fuzzParam returns the name of the parameter of type *testing.F.
func fuzzParam(fn *ast.FuncDecl) string {
	for _, field := range fn.Type.Params.List {
		star, ok := field.Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		sel, ok := star.X.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "F" || len(field.Names) == 0 {
			continue
		}
		return field.Names[0].Name
	}
	return ""
}

func anyCall(fn *ast.FuncDecl, match func(*ast.CallExpr) bool) bool {
	found := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && match(call) {
			found = true
		}
		return !found
	})
	return found
}
