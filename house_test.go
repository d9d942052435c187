package postseal_test

import (
	"bytes"
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
	"strconv"
	"strings"
	"sync"
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

// layers is the architecture: a package may import packages of lower layers, and of its own
// only those that allowed names. See docs/explain/architecture.md.
var layers = [][]string{
	{"domain", "internal/core/memo", "internal/core/reason", "internal/core/tagvalue", "internal/core/publicip", "lint"},
	{"internal/core/address", "internal/core/dnsdata"},
	{"resolver", "message"},
	{"internal/core/dnswire", "internal/core/middleware"},
	{"internal/core/bodyhash", "internal/core/canonical", "internal/core/smtpreply", "resolver/stub", "internal/core/dnszone"},
	{"resolver/dnstest"},
	{"internal/core/attached", "internal/core/shared", "internal/core/signature", "internal/core/spfrecord", "internal/core/dmarcrecord", "internal/core/flow"},
	{"spf", "dkim", "dmarc", "authres"},
	{"arc", "internal/core/spftree"},
	{"internal/core/resultjson"},
	{"."},
	{"internal/app/atomicfile", "internal/app/imapbox", "internal/app/suggest", "internal/app/term", "internal/app/received", "internal/app/pace", "internal/app/failpoint"},
	{"internal/app/repair", "internal/app/notify", "internal/app/explain"},
	{"bundle", "audit", "report", "store", "store/evidence", "internal/app/secondopinion", "internal/app/rules", "internal/app/batch", "internal/app/mailbox", "internal/app/postfix", "internal/app/reportjson"},
	{"store/journal", "store/storetest", "store/storetest/pgtest", "store/internal/sqltext", "store/internal/sqlreports"},
	{"store/sqlite", "store/postgres"},
	{"store/engines", "store/writer", "internal/app/fleet"},
	{"internal/app/clients"},
	{"internal/app/history", "internal/app/selectors", "internal/app/auditview", "internal/app/bulk", "internal/app/watch", "internal/app/replay", "internal/app/selftest", "internal/app/conf", "internal/app/migrate", "internal/app/failure"},
	{"internal/app/whatif"},
	{"internal/app/endpoint", "internal/app/outbox"},
	{"internal/app/doctor", "internal/app/inbox"},
	{"internal/app/quickstart"},
	{"server/listener"},
	{"server/milter", "server/policy", "server/proxy", "server/web"},
	{"server/web/ui", "server/web/refusal"},
	{"server"},
	{"internal/app/view"},
	{"internal/app/cli"},
	{"cmd/postseal"},
	// What only tests or measures: nothing above imports it.
	{"lab/fakedns", "lab/fuzztargets", "lab/reference", "lab/fixtures", "lab/suites", "lab/listenertest", "lab/schematest", "lab/loopback", "lab/bench/corpus", "lab/bench/traffic", "lab/surface", "lab/dependencies"},
	{"lab/differential"},
	{"lab/bench", "lab/bench/faults", "lab/bench/fuzz", "lab/bench/load", "lab/bench/ratios", "lab/bench/reports", "lab/e2e", "lab/packages", "lab/surface/count"},
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

// list returns all packages, as go list describes them.
func list(t *testing.T) []listed {
	t.Helper()
	all, err := packages()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Skipf("go list does not run here: %v", err)
	}
	return all
}

func packageName(importPath string) (string, bool) {
	if importPath == "postseal" {
		return ".", true
	}
	return strings.CutPrefix(importPath, "postseal/")
}

// packages are all of them, also those with a build tag, which go test ./... leaves to .ci/run.
var packages = sync.OnceValues(func() ([]listed, error) {
	out, err := exec.Command("go", "list", "-tags=e2e,packages,surface", "-json=ImportPath,Dir,Imports,Deps", "./...").Output()
	if err != nil {
		return nil, err
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
})

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		from, _ := packageName(p.ImportPath)
		if layerOf(from) < 0 {
			t.Errorf("%s is in no layer: give it one", from)
			continue
		}
		for _, i := range p.Imports {
			if to, ours := packageName(i); ours && layerOf(to) >= layerOf(from) {
				t.Errorf("%s imports %s, which is not below it", from, to)
			}
		}
	}
}

// TestLibraryDependencies: a Go program that calls the library pulls in the standard
// library, golang.org/x, and for the DNS client miekg/dns.
func TestLibraryDependencies(t *testing.T) {
	library := []string{".", "spf", "dkim", "dmarc", "authres", "arc", "message", "lint", "resolver", "resolver/stub"}
	for _, p := range list(t) {
		name, _ := packageName(p.ImportPath)
		if !slices.Contains(library, name) {
			continue
		}
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

// rfcs are RFCs of the field, which code and pages may cite. Before you add one, check that it
// exists and says what it is cited for.
var rfcs = []int{
	821, 822, 896, 1034, 1035, 1047, 1112, 1122, 1123, 1870, 1912, 1918, 1951, 1952, 2033, 2034, 2045, 2046,
	2047, 2104, 2119, 2142, 2181, 2182, 2183, 2231, 2308, 2369, 2397, 2557, 2606, 2821, 2822, 2919, 2920,
	3028, 3030, 3056, 3172, 3207, 3330, 3339, 3461, 3463, 3464, 3490, 3492, 3596, 3597, 3676, 3709, 3834,
	3848, 3849, 3986, 4033, 4034, 4035, 4085, 4155, 4180, 4193, 4291, 4343, 4406, 4407, 4408, 4592,
	4627, 4648, 4871, 4954, 5016, 5023, 5155, 5228, 5234, 5246, 5280, 5321, 5322, 5424, 5451, 5452,
	5598, 5617, 5681, 5703, 5737, 5863, 5869, 5890, 5891, 5892, 5965, 6008, 6047, 6052, 6066, 6125, 6212,
	6234, 6265, 6376, 6409, 6454, 6522, 6531, 6532, 6590, 6591, 6598, 6604, 6647, 6650, 6651, 6652, 6672,
	6686, 6692, 6698, 6749, 6761, 6840, 6854, 6890, 6891, 6918, 7001, 7103, 7159, 7208, 7293, 7301,
	7372, 7410, 7435, 7489, 7505, 7672, 7766, 7858, 7873, 7942, 7960, 8017, 8020, 8058, 8174, 8259, 8301,
	8314, 8375, 8446, 8460, 8461, 8463, 8484, 8499, 8551, 8601, 8616, 8617, 8659, 8738, 8767, 8904,
	8914, 8996, 9091, 9106, 9110, 9112, 9457, 9499, 9520, 9562, 9715, 9989, 9990, 9991,
}

// TestHouse checks file and function length, and a doc comment on every exported name.
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
}

// TestCitedRFCs: every RFC that code and pages cite is one of rfcs.
func TestCitedRFCs(t *testing.T) {
	for _, path := range sources(t, ".go", ".md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rfcReference.FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil || !slices.Contains(rfcs, n) {
				t.Errorf("%s cites %s: check it, and add it to rfcs", path, m[0])
			}
		}
	}
}

// sources lists the files of the repository with one of these endings, without test data.
func sources(t *testing.T, endings ...string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains(endings, filepath.Ext(path)):
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var packageRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|$")

// TestArchitectureNamesPackages: docs/explain/architecture.md has one line for every package,
// and names no other.
func TestArchitectureNamesPackages(t *testing.T) {
	text, err := os.ReadFile("docs/explain/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range packageRow.FindAllStringSubmatch(string(text), -1) {
		if named[m[1]] {
			t.Errorf("%s has two lines", m[1])
		}
		named[m[1]] = true
	}
	for _, p := range list(t) {
		name, _ := packageName(p.ImportPath)
		if name == "." {
			name = "postseal"
		}
		if !named[name] {
			t.Errorf("docs/explain/architecture.md has no line for %s: add | `%s` | its purpose |", name, name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("docs/explain/architecture.md names %s, which is not a package", name)
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

// TestMigrations: each migration of a database has a number of its own, without a gap.
func TestMigrations(t *testing.T) {
	for _, engine := range []string{"postgres", "sqlite"} {
		files, err := filepath.Glob("store/" + engine + "/migrations/*.sql")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d migrations, %v", engine, len(files), err)
		}
		for i, file := range files {
			if want := fmt.Sprintf("%05d_", i+1); !strings.HasPrefix(filepath.Base(file), want) {
				t.Errorf("%s does not begin with %s", file, want)
			}
		}
	}
}

// TestChangelog: no entry occurs twice.
func TestChangelog(t *testing.T) {
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	const start = 70 // octets of an entry that are its own
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "- ") || len(line) < start {
			continue
		}
		if seen[line[:start]] {
			t.Errorf("twice: %s", line[:start])
		}
		seen[line[:start]] = true
	}
}
