package spf_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"postseal/spf"
)

// TestRecordWords: a reason of internal/core/spfrecord is one of this package, a result word too.
func TestRecordWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/core/spfrecord/words.go", nil, 0)
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
		codes := []spf.Code{spf.None, spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.TempError, spf.PermError}
		word, err := strconv.Unquote(lit.Value)
		if err != nil || !slices.Contains(spf.Reasons(), spf.Reason(word)) && !slices.Contains(codes, spf.Code(word)) {
			t.Errorf("%s is not a reason or result of package spf", lit.Value)
		}
		return true
	})
	if n == 0 {
		t.Error("no reasons found")
	}
}
