package houserules

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// TestNoMapOrder holds that no package that replicas must agree by goes through a map in an order that differs from
// replica to replica. Where the order cannot matter, a comment in the same line says so: "any order".
func TestNoMapOrder(t *testing.T) {
	set := token.NewFileSet()
	from := importer.ForCompiler(set, "source", nil)
	for _, p := range packages(t) {
		if !slices.Contains([]string{"placement", "snapshot", "fsm"}, p.name()) {
			continue
		}
		var files []*ast.File
		excused := map[token.Position]bool{}
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(set, p.Dir+"/"+f, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
			for _, g := range file.Comments {
				for _, c := range g.List {
					if strings.HasPrefix(c.Text, "// any order") {
						at := set.Position(c.Pos())
						excused[token.Position{Filename: at.Filename, Line: at.Line}] = true
					}
				}
			}
		}
		for _, at := range mapRanges(t, set, from, p.ImportPath, files) {
			if !excused[token.Position{Filename: at.Filename, Line: at.Line}] {
				t.Errorf("%v: goes through a map: its order differs from replica to replica", at)
			}
		}
	}
}

// mapRanges are the places that range over a map.
func mapRanges(t *testing.T, set *token.FileSet, from types.Importer, path string, files []*ast.File) []token.Position {
	t.Helper()
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	if _, err := (&types.Config{Importer: from}).Check(path, set, files, info); err != nil {
		t.Fatal(err)
	}
	var found []token.Position
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if r, ok := n.(*ast.RangeStmt); ok {
				if _, ok := info.TypeOf(r.X).Underlying().(*types.Map); ok {
					found = append(found, set.Position(r.Pos()))
				}
			}
			return true
		})
	}
	return found
}

func TestMapRangesCanFail(t *testing.T) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "x.go", "package x\ntype m map[int]int\nfunc f(a m, b []int) {\nfor range a {}\nfor range b {}\n}", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := mapRanges(t, set, importer.Default(), "x", []*ast.File{f}); len(got) != 1 || got[0].Line != 4 {
		t.Errorf("found %v", got)
	}
}
