package differential

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postseal/lab/suites"
)

var update = flag.Bool("update", false, "rewrite docs/reference/conformance.md")

const (
	conformancePage = "../../docs/reference/conformance.md"
	differentialRun = "../../testdata/differential.json"
	mustList        = "../../testdata/rfc-musts.tsv"
)

// citedHeading begins the part of the page that follows the code: it is refreshed by
// -update and not compared, so that a new comment breaks no build.
const citedHeading = "## Sections cited in the code\n"

// TestConformancePage keeps the page as the suites, the recorded run and the list of
// demands say.
func TestConformancePage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Conformance\n\nGenerated: `go test ./lab/differential -run TestConformancePage -args -update`.\n")
	b.WriteString("What each number means, and how to make it again, is in [differential runs](../howto/differential.md).\n")
	suiteTable(t, &b)
	runTables(t, &b)
	mustTables(t, &b)
	want := b.String()
	if *update {
		if err := os.WriteFile(conformancePage, []byte(want+"\n"+citedHeading+citedSections(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, ok := strings.Cut(string(page), "\n"+citedHeading); !ok || got != want {
		t.Errorf("%s is not what the tests say: go test ./lab/differential -run TestConformancePage -args -update", conformancePage)
	}
}

// suiteTable shows the recorded run of the suites, most of which are not part of the
// repository.
func suiteTable(t *testing.T, b *strings.Builder) {
	records, err := suites.Records("../../testdata/suites.tsv")
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n## Suites of others\nCases from the test suites of other projects, the examples of the RFCs and public reports. Required cases pass, or an RFC\n" +
		"section decides against them (`testdata/suites-adjudicated.txt`). In the other cases verifiers differ and the text leaves\n" +
		"the choice open, or the source contradicts the text. \"Unsafe\" counts outcomes that would let a forger in or lose mail.\n" +
		"`go test ./lab/suites -v` runs every suite it finds; `testdata/suites.tsv` records the last run.\n\n" +
		"| suite | required | passed | adjudicated | unsafe | others | agreeing |\n|---|---|---|---|---|---|---|\n")
	total := suites.Tally{Suite: "**total**"}
	for _, r := range records {
		total.Add(r)
	}
	for _, r := range append(records, total) {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d |\n", r.Suite, r.Required, r.Passed, r.Adjudicated, r.Unsafe, r.Other, r.Agreeing)
	}
}

func runTables(t *testing.T, b *strings.Builder) {
	text, err := os.ReadFile(differentialRun)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]Record{}
	if err := json.Unmarshal(text, &records); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n## Differential runs\nThe recorded run. Every disagreement is in a class that a section decides; none is unknown.\n\n" +
		"| kind | verifier | cases | agree | classed | date | seed |\n|---|---|---|---|---|---|---|\n")
	for _, kind := range Kinds() {
		r := records[kind]
		for _, tally := range r.Tallies {
			if tally.Unknown > 0 {
				t.Errorf("%s: %s %s has %d unknown disagreements", differentialRun, kind, tally.Verifier, tally.Unknown)
			}
			fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %s | %d |\n", kind, tally.Verifier, tally.Cases, tally.Agree, tally.Cases-tally.Agree-tally.Unknown, r.Date, r.Seed)
		}
	}
	b.WriteString("\n### Classes of disagreement\n\"both\": the standard leaves the choice, and ours is the one named. Counts are those of the recorded run.\n")
	for _, kind := range Kinds() {
		fmt.Fprintf(b, "\n**%s**\n\n| class | RFC | right | why | seen in |\n|---|---|---|---|---|\n", kind)
		for _, c := range distinct(Classes(kind)) {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", c.ID, c.RFC, c.Right, strings.ReplaceAll(c.Why, "|", `\|`), seenIn(records[kind].Tallies, c.ID))
		}
	}
}

func distinct(classes []Class) []Class {
	seen := map[string]bool{}
	return slices.DeleteFunc(classes, func(c Class) bool {
		again := seen[c.ID]
		seen[c.ID] = true
		return again
	})
}

func seenIn(tallies []*Tally, id string) string {
	var seen []string
	for _, t := range tallies {
		if n := t.Classes[id]; n > 0 {
			seen = append(seen, fmt.Sprintf("%s %d", t.Verifier, n))
		}
	}
	return strings.Join(seen, ", ")
}

// demand is one line of the list.
type demand struct{ rfc, section, text, held string }

func demands(t *testing.T) []demand {
	text, err := os.ReadFile(mustList)
	if err != nil {
		t.Fatal(err)
	}
	var all []demand
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			t.Fatalf("%s: %q needs four fields separated by tabs", mustList, line)
		}
		all = append(all, demand{f[0], f[1], f[2], f[3]})
	}
	return all
}

// TestDemands: the RFCs that count are in the list, and what each line names exists.
func TestDemands(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range demands(t) {
		seen[d.rfc] = true
		if why := missing(d.held); why != "" {
			t.Errorf("RFC %s %s, %s: %s", d.rfc, d.section, d.text, why)
		}
	}
	for _, rfc := range []string{"7208", "6376", "8301", "8463", "8616", "9989", "8617", "8601"} {
		if !seen[rfc] {
			t.Errorf("%s names no demand of RFC %s", mustList, rfc)
		}
	}
}

// missing says what is not there, "" when held exists.
func missing(held string) string {
	if reason, ok := strings.CutPrefix(held, "n/a: "); ok {
		if reason == "" {
			return "n/a without a reason"
		}
		return ""
	}
	if name, ok := strings.CutPrefix(held, "vector:"); ok {
		if _, err := os.Stat(filepath.Join("../../testdata/vectors", name+".txtar")); err != nil {
			return err.Error()
		}
		return ""
	}
	if name, ok := strings.CutPrefix(held, "suite:"); ok {
		if !slices.ContainsFunc(suites.ModuleSuites(), func(s suites.ModuleSuite) bool { return s.Name == name }) {
			return "no such suite: " + name
		}
		return ""
	}
	dir, name := "../..", held[strings.LastIndexByte(held, '.')+1:]
	if pkg := strings.TrimSuffix(held, "."+name); pkg != "postseal" {
		dir = filepath.Join(dir, pkg)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\nfunc "+name+"(") {
			return ""
		}
	}
	return "no such test: " + held
}

func mustTables(t *testing.T, b *strings.Builder) {
	b.WriteString("\n## What the RFCs demand\nEach MUST that concerns a verifier, with the test, vector or suite that holds it, or why it does not apply. The list is\n`testdata/rfc-musts.tsv`; a test checks that what it names exists.\n")
	rfc := ""
	for _, d := range demands(t) {
		if d.rfc != rfc {
			rfc = d.rfc
			fmt.Fprintf(b, "\n**RFC %s**\n\n| section | demand | held by |\n|---|---|---|\n", rfc)
		}
		held := d.held
		if !strings.HasPrefix(held, "n/a") {
			held = "`" + held + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", d.section, strings.ReplaceAll(d.text, "|", `\|`), held)
	}
}

var citation = regexp.MustCompile(`RFC (\d{3,4})((?:,? (?:and )?§[\d.]+[\d])+)`)
var sectionNumber = regexp.MustCompile(`§[\d.]*\d`)

// citedSections lists each section that the comments and texts of the code name.
func citedSections(t *testing.T) string {
	cited := map[string]map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range citation.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\n// ", " "), -1) {
			if cited[m[1]] == nil {
				cited[m[1]] = map[string]bool{}
			}
			for _, s := range sectionNumber.FindAllString(m[2], -1) {
				cited[m[1]][s] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("Each comes with a comment at the line that implements it: `git grep 'RFC 7208 §4.6'`.\n\n| RFC | sections |\n|---|---|\n")
	for _, rfc := range slices.SortedFunc(maps.Keys(cited), byNumber) {
		fmt.Fprintf(&b, "| %s | %s |\n", rfc, strings.Join(slices.SortedFunc(maps.Keys(cited[rfc]), byNumber), " "))
	}
	return b.String()
}

// byNumber orders "§4.10" after "§4.9".
func byNumber(a, b string) int {
	x, y := strings.Split(strings.TrimPrefix(a, "§"), "."), strings.Split(strings.TrimPrefix(b, "§"), ".")
	return slices.CompareFunc(x, y, func(a, b string) int {
		m, errA := strconv.Atoi(a)
		n, errB := strconv.Atoi(b)
		if errors.Join(errA, errB) != nil {
			return strings.Compare(a, b)
		}
		return m - n
	})
}
