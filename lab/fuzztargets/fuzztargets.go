// Package fuzztargets lists the fuzz targets of a tree of Go packages, with what each holds.
package fuzztargets

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Target is one fuzz target.
type Target struct {
	Dir   string // of its package, with slashes, below the root: "message", "." for the root
	Name  string
	Holds string // its doc comment as one line, without its name
}

// List reads the test files below root, in the order of directories and names.
func List(root string) ([]Target, error) {
	var all []Target
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, targets(path.Dir(name), f)...)
		return nil
	})
	slices.SortFunc(all, func(a, b Target) int {
		return strings.Compare(a.Dir+"\x00"+a.Name, b.Dir+"\x00"+b.Name)
	})
	return all, err
}

func targets(dir string, f *ast.File) []Target {
	var all []Target
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
			all = append(all, Target{Dir: dir, Name: fn.Name.Name, Holds: holds(fn)})
		}
	}
	return all
}

// holds is the doc comment of fn from after its name: "FuzzX: no text panics." or "FuzzX holds
// that no text panics."
func holds(fn *ast.FuncDecl) string {
	text := strings.Join(strings.Fields(fn.Doc.Text()), " ")
	text = strings.TrimPrefix(text, fn.Name.Name)
	return strings.TrimSpace(strings.TrimPrefix(text, ":"))
}
