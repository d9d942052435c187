//go:build surface

package surface

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/go/packages"
)

func load(t *testing.T) []*packages.Package {
	t.Helper()
	loaded, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// TestNoInternalTypes: whatever the library exports, a program outside the module can name.
func TestNoInternalTypes(t *testing.T) {
	for _, p := range load(t) {
		t.Run(p.PkgPath, func(t *testing.T) {
			for _, leak := range Leaks(p.Types) {
				t.Error(leak)
			}
		})
	}
}

// TestExamples: the documentation of each library package shows how it is used, in an example
// that is run.
func TestExamples(t *testing.T) {
	for _, pkg := range Packages {
		files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var parsed []*ast.File
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		run := func(e *doc.Example) bool { return e.Output != "" }
		if !slices.ContainsFunc(doc.Examples(parsed...), run) {
			t.Errorf("package %q has no example with output", pkg)
		}
	}
}

// TestConstantsCarryTheirType: an exported string constant of a library package has its own
// type, except for the name of a schema.
func TestConstantsCarryTheirType(t *testing.T) {
	for _, p := range load(t) {
		for _, name := range p.Types.Scope().Names() {
			c, ok := p.Types.Scope().Lookup(name).(*types.Const)
			if ok && c.Exported() && name != "Schema" && types.Identical(c.Type().Underlying(), types.Typ[types.UntypedString]) {
				t.Errorf("%s.%s is an untyped string", p.PkgPath, name)
			}
		}
	}
}

// TestLeaks: every way in which a type can be shown is looked at.
func TestLeaks(t *testing.T) {
	hidden := types.NewPackage("m/internal/x", "x")
	named := types.NewNamed(types.NewTypeName(token.NoPos, hidden, "T", nil), types.Typ[types.Int], nil)
	hidden.Scope().Insert(named.Obj())
	hidden.MarkComplete()
	const src = `package p
import "m/internal/x"
type hidden struct{ Promoted x.T }
func (hidden) Method(x.T) {}
type (
	Field struct{ F x.T; f x.T }
	Embedded struct{ hidden }
	Embeds struct{ x.T }
	Alias = x.T
	Slice []x.T
	Iface interface{ M() x.T }
	quiet = x.T
	Quiet struct{ quiet }
	Clean struct{ f x.T }
)
func (Clean) m(x.T) {}
func Param(func(map[string]*x.T)) {}
func Result() (a [2]chan x.T) { return }
func Generic[P interface{ M(x.T) }](P) {}
var Var x.T
func unexported(x.T) {}
func Fine(Clean) error { return nil }
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	conf := types.Config{Importer: importer{hidden}}
	p, err := conf.Check("m/p", fset, []*ast.File{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, leak := range Leaks(p) {
		got = append(got, leak[:len(leak)-len(": m/internal/x.T")])
	}
	want := []string{"m/p.Alias", "m/p.Embedded.Method", "m/p.Embedded.Promoted", "m/p.Embeds.T", "m/p.Embeds embeds T", "m/p.Field.F", "m/p.Generic",
		"m/p.Iface.M", "m/p.Param", "m/p.Result", "m/p.Slice", "m/p.Var"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

type importer struct{ p *types.Package }

func (i importer) Import(string) (*types.Package, error) { return i.p, nil }
