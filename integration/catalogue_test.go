package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// catalogue is the conformance catalogue: how many numbered requirements each of its tables has.
var catalogue = []struct {
	prefix string
	last   int
}{
	{"V3-TX", 24},
	{"V3-ND", 9},
	{"V3-RX", 25},
	{"V3-FSM", 29},
	{"V3-HOST", 13},
	{"V2-TX", 5},
	{"V2-RX", 7},
	{"V2-FSM", 2},
	{"V2-MIX", 2},
}

// TestCatalogue checks that every requirement has a test that carries its id in its name. Those about modes that this
// version refuses are in TestRefusedModes.
func TestCatalogue(t *testing.T) {
	names := testNames(t)
	for _, table := range catalogue {
		for i := 1; i <= table.last; i++ {
			id := fmt.Sprintf("%s-%02d", table.prefix, i)
			re := regexp.MustCompile(strings.ReplaceAll(id, "-", "[-_]") + `(\D|$)`)
			if !re.MatchString(names) {
				t.Errorf("%s: no test has it in its name", id)
			}
		}
	}
}

// testNames returns the names of all test functions, and of subtests: the first argument of Run and the strings of
// tables of cases, which are composite literals. A line each.
func testNames(t *testing.T) string {
	t.Helper()
	var names strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "catalogue_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			fmt.Fprintln(&names, fn.Name.Name)
			ast.Inspect(fn, func(n ast.Node) bool {
				var from []ast.Expr
				switch n := n.(type) {
				case *ast.CompositeLit:
					from = n.Elts
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) > 0 {
						from = n.Args[:1]
					}
				}
				for _, e := range from {
					if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						fmt.Fprintln(&names, lit.Value)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names.String()
}
