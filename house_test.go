package postseal_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/reason"
	"postseal/internal/core/smtpreply"
	"postseal/message"
	"postseal/spf"
)

var update = flag.Bool("update", false, "rewrite generated pages")

// layers is the house: a package may import those of lower layers, and of its own only
// what allowed names. See docs/explain/architecture.md.
var layers = [][]string{
	{"internal/core/domain", "internal/core/reason", "internal/core/tagvalue", "internal/core/publicip", "lint"},
	{"resolver", "message"},
	{"internal/core/dnswire"},
	{"internal/core/bodyhash", "internal/core/canonical", "internal/core/smtpreply", "resolver/stub", "resolver/dnstest"},
	{"spf", "dkim", "dmarc", "authres"},
	{"arc"},
	{"."},
	{"internal/app/atomicfile", "internal/app/suggest", "internal/app/term", "internal/app/received", "internal/app/pace"},
	{"internal/app/repair"},
	{"bundle", "audit", "report", "store", "store/evidence", "internal/app/secondopinion", "internal/app/rules", "internal/app/batch", "internal/app/mailbox", "internal/app/postfix", "internal/app/reportjson"},
	{"store/journal", "store/storetest", "store/storetest/pgtest", "store/internal/sqltext"},
	{"store/sqlite", "store/postgres"},
	{"store/engines", "store/writer"},
	{"internal/app/clients"},
	{"internal/app/history", "internal/app/explain", "internal/app/selectors", "internal/app/auditview", "internal/app/replay", "internal/app/selftest", "internal/app/conf", "internal/app/migrate"},
	{"internal/app/endpoint"},
	{"internal/app/doctor"},
	{"internal/app/quickstart"},
	{"server/listener"},
	{"server/milter", "server/policy", "server/proxy", "server/web"},
	{"server/web/ui"},
	{"server"},
	{"internal/app/view"},
	{"internal/app/cli"},
	{"cmd/postseal"},
	// What only tests or measures: nothing above imports it.
	{"lab/fuzztargets", "lab/reference", "lab/fixtures", "lab/suites", "lab/differential", "lab/listenertest", "lab/bench/corpus", "lab/bench/traffic"},
	{"lab/bench", "lab/bench/faults", "lab/bench/fuzz", "lab/bench/load", "lab/bench/ratios", "lab/bench/soak", "lab/e2e", "lab/packages"},
}

func layerOf(pkg string) int {
	for i, l := range layers {
		if slices.Contains(l, pkg) {
			return i
		}
	}
	return -1
}

type listed struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,Deps"}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Skipf("go list does not run here: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func room(importPath string) (string, bool) {
	if importPath == "postseal" {
		return ".", true
	}
	return strings.CutPrefix(importPath, "postseal/")
}

func TestImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		from, _ := room(p.ImportPath)
		if layerOf(from) < 0 {
			t.Errorf("%s is in no layer: give it one", from)
			continue
		}
		for _, i := range p.Imports {
			if to, ours := room(i); ours && layerOf(to) >= layerOf(from) {
				t.Errorf("%s imports %s, which is not below it", from, to)
			}
		}
	}
}

// TestLibraryDependencies: a Go program that calls the library pulls in the standard
// library, golang.org/x, and for the DNS client miekg/dns.
func TestLibraryDependencies(t *testing.T) {
	library := []string{".", "./spf", "./dkim", "./dmarc", "./authres", "./arc", "./message", "./lint", "./resolver", "./resolver/stub"}
	for _, p := range list(t, library...) {
		for _, d := range p.Deps {
			first, _, _ := strings.Cut(d, "/")
			if !strings.Contains(first, ".") {
				continue
			}
			onlyStub := strings.HasPrefix(d, "github.com/miekg/dns") && p.ImportPath == "postseal/resolver/stub"
			if !onlyStub && !strings.HasPrefix(d, "golang.org/x/") {
				t.Errorf("%s depends on %s", p.ImportPath, d)
			}
		}
	}
}

var rfcReference = regexp.MustCompile(`RFC (\d+)`)

// TestHouse holds the house numbers: file and function length, a doc comment on every
// exported name, RFC numbers that exist.
func TestHouse(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "testdata" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		houseFile(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func houseFile(t *testing.T, path string) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return
	}
	if n := fset.Position(f.End()).Line; n > 500 {
		t.Errorf("%s has %d lines, at most 500", path, n)
	}
	exported := !strings.HasPrefix(path, "cmd/")
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			from, to := fset.Position(decl.Pos()).Line, fset.Position(decl.End()).Line
			if to-from > 60 {
				t.Errorf("%s:%d: %s has %d lines, at most 60", path, from, decl.Name.Name, to-from)
			}
			if exported && decl.Name.IsExported() && decl.Doc == nil && receiverExported(decl) {
				t.Errorf("%s:%d: %s has no doc comment", path, from, decl.Name.Name)
			}
		case *ast.GenDecl:
			houseDecl(t, fset, path, decl)
		}
	}
	for _, group := range f.Comments {
		for _, m := range rfcReference.FindAllStringSubmatch(group.Text(), -1) {
			if len(m[1]) < 3 || len(m[1]) > 4 {
				t.Errorf("%s: %s is no RFC", path, m[0])
			}
		}
	}
}

func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func houseDecl(t *testing.T, fset *token.FileSet, path string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && decl.Doc == nil && spec.Doc == nil {
				t.Errorf("%s: type %s has no doc comment", fset.Position(spec.Pos()), spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, n := range spec.Names {
				if n.IsExported() && decl.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					t.Errorf("%s: %s has no doc comment", fset.Position(spec.Pos()), n.Name)
				}
			}
		}
	}
}

// TestDocs keeps the generated pages as the code says.
func TestDocs(t *testing.T) {
	const page = "docs/reference/reasons.md"
	want := reasonsPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("%s is not what the code says: go test . -run TestDocs -update (%v)", page, err)
	}
}

func reasonsPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Reasons\n\nEach result has a reason from a closed set. Reasons never change their meaning; the words for them may. Generated from the code.\n")
	for _, section := range reasonSections() {
		fmt.Fprintf(&b, "\n## %s\n\n| reason | meaning | RFC | what the sender has to change |\n|---|---|---|---|\n", section.title)
		for _, r := range section.reasons {
			e, _ := reason.Of(r)
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r, inCell(e.Text), e.RFC, inCell(e.Fix))
		}
	}
	return b.String()
}

func inCell(text string) string {
	return strings.NewReplacer("|", `\|`, "{", "*", "}", "*").Replace(text)
}

type reasonSection struct {
	title   string
	reasons []string
}

func reasonSections() []reasonSection {
	return []reasonSection{{"Decision", words(postseal.Reasons())}, {"SPF", words(spf.Reasons())}, {"DKIM", words(dkim.Reasons())},
		{"ARC", words(arc.Reasons())}, {"DMARC", words(dmarc.Reasons())}, {"Message", words(message.Reasons())}}
}

// TestEveryReasonHasWords: the table of package reason has a sentence for each reason of each
// package, and no other; every text can be a line of an SMTP reply.
func TestEveryReasonHasWords(t *testing.T) {
	left := map[string]bool{}
	for _, r := range reason.All() {
		left[r] = true
	}
	for _, section := range reasonSections() {
		for _, r := range section.reasons {
			e, ok := reason.Of(r)
			if !ok || e.Text == "" {
				t.Errorf("%s has no sentence in internal/core/reason", r)
			}
			for _, text := range []string{e.Text, e.Fix} {
				if text != smtpreply.Clean(text, 140) || strings.HasSuffix(text, ".") {
					t.Errorf("%s: %q: must be ASCII, without a period, at most 140 characters", r, text)
				}
			}
			delete(left, r)
		}
	}
	for r := range left {
		t.Errorf("%s has a sentence, but no package has this reason", r)
	}
}

func words[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = string(s)
	}
	return all
}
