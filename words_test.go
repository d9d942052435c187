package postseal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/spf"
)

// TestInternalWords: the words that packages below the mechanisms have of their own, because they
// cannot import them, are words of the mechanisms.
func TestInternalWords(t *testing.T) {
	for path, allowed := range map[string][]string{
		"internal/core/signature/reason.go":   stringsOf(dkim.Reasons()),
		"internal/core/spfrecord/words.go":    append(stringsOf(spf.Reasons()), stringsOf([]spf.Code{spf.None, spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.TempError, spf.PermError})...),
		"internal/core/dmarcrecord/policy.go": stringsOf([]dmarc.Policy{dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject}),
	} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(file, func(node ast.Node) bool {
			lit, ok := node.(*ast.BasicLit)
			if !ok {
				return true
			}
			found++
			if word, err := strconv.Unquote(lit.Value); err != nil || !slices.Contains(allowed, word) {
				t.Errorf("%s: %s is not a word of its mechanism", path, lit.Value)
			}
			return true
		})
		if found == 0 {
			t.Errorf("%s: no words found", path)
		}
	}
}

func stringsOf[T ~string](list []T) []string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return words
}
