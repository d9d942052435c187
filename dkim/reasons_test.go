package dkim_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"postseal/dkim"
)

// TestSignatureReasons: a reason of internal/core/signature is one of this package.
func TestSignatureReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/core/signature/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		lit, ok := node.(*ast.BasicLit)
		if !ok {
			return true
		}
		n++
		if word, err := strconv.Unquote(lit.Value); err != nil || !slices.Contains(dkim.Reasons(), dkim.Reason(word)) {
			t.Errorf("%s is not a reason of package dkim", lit.Value)
		}
		return true
	})
	if n == 0 {
		t.Error("no reasons found")
	}
}
