package postseal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

// oddPhrases are phrases that read as translated, each with what a native speaker writes.
var oddPhrases = []struct {
	phrase  *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b(is|are|was|were) no [a-z]`), "negate the verb: is not a …"},
	{regexp.MustCompile(`\b[Nn]obody\b`), "no one, or no + noun"},
	{regexp.MustCompile(`\b[Ss]omebody\b`), "someone, or name the actor"},
	{regexp.MustCompile(`\b(is|are|was|were) none\b`), "is not one, is missing, or means none"},
	{regexp.MustCompile(`\bbehind (the|an?|its?|that|them|this|each|every|one|all|which|another)\b|\bbehind ["%;\d]`), "after"},
	{regexp.MustCompile(`\bbeside\b`), "next to, with, in addition to"},
	{regexp.MustCompile(`\b([Ll]eaves?|left|[Ll]eave it) away\b`), "omit"},
	{regexp.MustCompile(`\bmend(s|ed|ing)?\b`), "fix"},
	{regexp.MustCompile(`\banew\b`), "again"},
	{regexp.MustCompile(`\bputs? off\b`), "defer"},
	{regexp.MustCompile(`\bpass(es|ed)? over\b`), "skip"},
	{regexp.MustCompile(`\b(go|goes|went) on\b`), "continue"},
	{regexp.MustCompile(`\b(objects?|quer(y|ies)|questions?|octets|probes?|once|one) an? (line|second|minute|message|domain|day|connection)\b|\b(messages|domains) an? (second|minute|day)\b`), "per"},
	{regexp.MustCompile(`\bline ends?\b`), "line ending"},
	{regexp.MustCompile(`\blast dot\b`), "trailing dot"},
	{regexp.MustCompile(`\bfor want of\b`), "for lack of"},
	{regexp.MustCompile(`\botherwise than\b`), "differently from"},
	{regexp.MustCompile(`\bmore than nothing\b`), "greater than 0"},
	{regexp.MustCompile(`\b(stands?|is there) twice\b`), "occurs twice"},
	{regexp.MustCompile(`\b(let|lets) (in|through|pass)\b`), "accept, allow"},
	{regexp.MustCompile(`\bpass(es|ed)? unchecked\b`), "is not checked"},
	{regexp.MustCompile(`\b(tell|tells|told) of\b`), "report"},
	{regexp.MustCompile(`\b(a|the|each|every|our|its|SMTP|any) doors?\b`), "listener"},
	{regexp.MustCompile(`\bdefects? of (ours|postseal)\b`), "bug in postseal"},
	{regexp.MustCompile(`\bthis machine alone\b`), "only this host"},
}

// allowedPhrases are taken out of a text before it is searched: they are usual English, or
// fixed words.
var allowedPhrases = regexp.MustCompile(`(?i)\b(there|here) (is|are|was|were) (no|none)\b` +
	`|\b(is|are|was|were) no (longer|more|less|fewer|such|other|better|worse|different|doubt|one|greater|larger|later|earlier|shorter|smaller|way|need|matter|reason)\b` +
	`|\bline ends (with|in|after|the)\b` +
	`|\bbehind (a |the |an )?(reverse )?(proxy|nat|nginx|firewall|others)\b` + // the usual sense
	"|result is none|cv= is none|`mends?`|url\\] is none|\\burl is none" + // words of RFC 8601 and of the configuration
	`|user=nobody|a@nobody|"nobody"`) // the Unix user

// notPlain are files that may have such phrases, with the reason.
var notPlain = map[string]string{
	"plainenglish_test.go": "it lists them",
}

// TestPlainEnglish checks the prose of documents, of comments, and of the strings of the
// product. It fails for phrases that read as translated.
func TestPlainEnglish(t *testing.T) {
	for _, path := range sources(t, ".md", ".go") {
		if _, ok := notPlain[path]; ok || strings.HasSuffix(path, "example_test.go") { // the output of examples is fixed
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".md") {
			for i, line := range strings.Split(string(text), "\n") {
				checkProse(t, path, i+1, line)
			}
			continue
		}
		checkGoProse(t, path, text)
	}
}

// checkGoProse checks the comments of a Go file, and its strings unless it is a test.
func checkGoProse(t *testing.T, path string, text []byte) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return
	}
	for _, group := range f.Comments {
		prose := strings.Join(strings.Fields(group.Text()), " ")
		checkProse(t, path, fset.Position(group.Pos()).Line, prose)
	}
	if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "lab/") {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && strings.Contains(s.Value, " ") {
			checkProse(t, path, fset.Position(s.Pos()).Line, strings.Join(strings.Fields(s.Value), " "))
		}
		return true
	})
}

// required is a text that every match of an odd phrase contains, by its index. To look for it is much
// cheaper than to match.
var required = func() (texts []string) {
	for _, odd := range oddPhrases {
		parsed, err := syntax.Parse(odd.phrase.String(), syntax.Perl)
		if err != nil {
			panic(err)
		}
		longest := ""
		for _, part := range parsed.Sub {
			if parsed.Op == syntax.OpConcat && part.Op == syntax.OpLiteral && len(part.Rune) > len(longest) {
				longest = string(part.Rune)
			}
		}
		texts = append(texts, longest)
	}
	return texts
}()

func checkProse(t *testing.T, path string, line int, prose string) {
	checked := "" // prose without what is allowed
	for i, odd := range oddPhrases {
		if !strings.Contains(prose, required[i]) {
			continue
		}
		if checked == "" {
			checked = allowedPhrases.ReplaceAllString(prose, "…")
		}
		if found := odd.phrase.FindStringIndex(checked); found != nil {
			from, to := max(0, found[0]-40), min(len(checked), found[1]+40)
			t.Errorf("%s:%d: %q: instead of %q write: %s", path, line, checked[from:to], checked[found[0]:found[1]], odd.instead)
		}
	}
}
