//go:build surface

package surface

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// Leaks lists the places where an exported name of p has a type of an internal package in its
// signature: parameters, results, fields, elements, embedded types, aliases, type parameters.
// A program outside the module cannot name such a type.
func Leaks(p *types.Package) []string {
	l := &leaks{pkg: p}
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		tn, ok := obj.(*types.TypeName)
		if !ok {
			l.check(name, obj.Type())
			continue
		}
		if tn.IsAlias() {
			l.check(name, types.Unalias(tn.Type()))
			continue
		}
		l.declared(name, tn.Type())
	}
	return l.found
}

type leaks struct {
	pkg   *types.Package
	found []string
}

// declared checks what a type declaration shows: its fields, methods, and underlying type.
func (l *leaks) declared(name string, t types.Type) {
	for _, m := range methods(t) {
		l.check(name+"."+m.Name(), m.Type())
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		if _, isInterface := t.Underlying().(*types.Interface); !isInterface {
			l.check(name, t.Underlying())
		}
		return
	}
	for _, f := range fields(t) {
		l.check(name+"."+f.Name(), f.Type())
	}
	for f := range s.Fields() {
		// What an unexported name embeds shows only what it promotes, which is among the above.
		if f.Embedded() && f.Exported() {
			l.check(name+" embeds "+f.Name(), f.Type())
		}
	}
}

// check goes through the parts of t.
func (l *leaks) check(at string, t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		l.named(at, t.Obj())
		l.check(at, types.Unalias(t))
	case *types.Named:
		l.named(at, t.Obj())
		for arg := range t.TypeArgs().Types() {
			l.check(at, arg)
		}
	case *types.TypeParam:
		l.check(at, t.Constraint())
	case *types.Pointer:
		l.check(at, t.Elem())
	case *types.Slice:
		l.check(at, t.Elem())
	case *types.Array:
		l.check(at, t.Elem())
	case *types.Chan:
		l.check(at, t.Elem())
	case *types.Map:
		l.check(at, t.Key())
		l.check(at, t.Elem())
	case *types.Signature:
		for v := range t.Params().Variables() {
			l.check(at, v.Type())
		}
		for v := range t.Results().Variables() {
			l.check(at, v.Type())
		}
		for p := range t.TypeParams().TypeParams() {
			l.check(at, p)
		}
	case *types.Struct: // unnamed
		for f := range t.Fields() {
			l.check(at, f.Type())
		}
	case *types.Interface:
		for m := range t.Methods() {
			l.check(at, m.Type())
		}
	}
}

func (l *leaks) named(at string, obj *types.TypeName) {
	if p := obj.Pkg(); p != nil && internal(p.Path()) {
		leak := fmt.Sprintf("%s.%s: %s.%s", l.pkg.Path(), at, p.Path(), obj.Name())
		if !slices.Contains(l.found, leak) {
			l.found = append(l.found, leak)
		}
	}
}

func internal(path string) bool {
	return strings.HasPrefix(path, "internal/") || strings.Contains(path, "/internal/") || strings.HasSuffix(path, "/internal")
}
