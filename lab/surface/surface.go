//go:build surface

// Package surface counts the exported names of the library packages: what a program that
// imports them can write, and what its author has to read. It has a build tag, because
// go test ./... would compile a type checker for this package alone.
//
//	go test -tags surface ./lab/surface
//	go run -tags surface ./lab/surface/count
package surface

import (
	"fmt"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Packages are the library packages, by import path below the module.
var Packages = []string{"", "spf", "dkim", "arc", "dmarc", "authres", "domain", "lint", "message", "resolver", "resolver/stub", "resolver/dnstest"}

// Count is the number of exported names of one package, by kind. Constants and variables are
// counted apart: most of them are reasons and result words.
type Count struct {
	Package                           string
	Types, Functions, Methods, Fields int
	Values                            int
}

// Total is the number of names that counts: all but constants and variables.
func (c Count) Total() int { return c.Types + c.Functions + c.Methods + c.Fields }

// Load loads the library packages of the module at dir.
func Load(dir string) ([]*packages.Package, error) {
	patterns := make([]string, len(Packages))
	for i, p := range Packages {
		patterns[i] = strings.TrimSuffix("./"+p, "/")
	}
	cfg := &packages.Config{Dir: dir, Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedModule}
	loaded, err := packages.Load(cfg, patterns...)
	if err != nil {
		return nil, err
	}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("%s: %w", p.PkgPath, p.Errors[0])
		}
	}
	slices.SortFunc(loaded, func(a, b *packages.Package) int { return strings.Compare(a.PkgPath, b.PkgPath) })
	return loaded, nil
}

// Of counts the exported names of p. A field or method that an exported type gets from an
// unexported embedded one counts too.
func Of(p *types.Package) Count {
	c := Count{Package: p.Path()}
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Func:
			c.Functions++
		case *types.TypeName:
			c.Types++
			c.Methods += len(methods(obj.Type()))
			c.Fields += len(fields(obj.Type()))
		default:
			c.Values++
		}
	}
	return c
}

// methods are the exported methods of t and *t that its own package declares.
func methods(t types.Type) []*types.Func {
	var found []*types.Func
	if i, ok := t.Underlying().(*types.Interface); ok {
		for m := range i.ExplicitMethods() {
			if m.Exported() {
				found = append(found, m)
			}
		}
		return found
	}
	set := types.NewMethodSet(types.NewPointer(t))
	for s := range set.Methods() {
		m := s.Obj().(*types.Func)
		if m.Exported() && (len(s.Index()) == 1 || hidden(t, s.Index())) {
			found = append(found, m)
		}
	}
	return found
}

// hidden reports whether a promoted method comes through an embedded field that is not
// exported: it is then counted nowhere else.
func hidden(t types.Type, index []int) bool {
	s, ok := t.Underlying().(*types.Struct)
	return ok && !s.Field(index[0]).Exported()
}

// fields are the exported fields of t.
func fields(t types.Type) []*types.Var {
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	var found []*types.Var
	for f := range s.Fields() {
		if f.Exported() {
			found = append(found, f)
		} else if f.Embedded() {
			found = append(found, fields(deref(f.Type()))...)
		}
	}
	return found
}

func deref(t types.Type) types.Type {
	if p, ok := t.(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}
