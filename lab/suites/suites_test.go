package suites

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func moduleDir(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("skipped: the module cache does not hold blitiri.com.ar/go/spf: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

const (
	adjudicatedList = "../../testdata/suites-adjudicated.txt" // required cases
	otherList       = "../../testdata/suites-other.txt"       // the others that we disagree with
	recordList      = "../../testdata/corpora.tsv"
)

func TestOpenSPF(t *testing.T) {
	dir := moduleDir(t)
	for _, s := range ModuleSuites() {
		t.Run(s.Name, func(t *testing.T) {
			cases, err := ReadSPF(filepath.Join(dir, s.File))
			if err != nil {
				t.Fatal(err)
			}
			var all []Case
			for _, c := range cases {
				all = append(all, Case{c.Name, c.Problem})
			}
			report(t, s.Name, s.Required, all, t.Errorf)
		})
	}
}

// TestCorpora runs the tests of other projects whose sources lie in POSTSEAL_CORPORA.
func TestCorpora(t *testing.T) {
	dir := os.Getenv("POSTSEAL_CORPORA")
	if dir == "" {
		t.Skip("skipped: POSTSEAL_CORPORA names no folder with sources of other projects (.ci/corpora fetches them)")
	}
	for _, c := range Corpora() {
		t.Run(c.Name, func(t *testing.T) {
			folder, err := c.Find(dir)
			if err != nil {
				t.Skip("skipped:", err)
			}
			cases, err := c.Read(folder)
			if errors.Is(err, ErrUnavailable) {
				t.Skip("skipped:", err)
			}
			if err != nil || len(cases) == 0 {
				t.Fatalf("%d cases read: %v", len(cases), err)
			}
			complain := t.Errorf
			if !reviewed(t, c.Name, filepath.Base(folder)) {
				t.Logf("%s is another version than the one that %s has: what differs is told, and fails nothing", filepath.Base(folder), recordList)
				complain = t.Logf
			}
			agree, decided := report(t, c.Name, c.Required, cases, complain)
			recorded(t, Record{c.Name, filepath.Base(folder), "run", len(cases), agree, decided})
		})
	}
}

// reviewed reports whether the list has this version of a corpus.
func reviewed(t *testing.T, suite, source string) bool {
	all, err := Records(recordList)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(r Record) bool { return r.Suite == suite && r.Source == source })
}

// recorded fails where the list has other numbers for the same source.
func recorded(t *testing.T, r Record) {
	all, err := Records(recordList)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range all {
		if old.Suite == r.Suite && old.Source == r.Source && old != r {
			t.Errorf("%s has %+v, and this run gave %+v", recordList, old, r)
		}
	}
}

// TestRecords: the numbers add up, and every corpus with a reader has been looked at.
func TestRecords(t *testing.T) {
	all, err := Records(recordList)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Agree+r.Decided != r.Cases || r.How != "run" && r.How != "read" {
			t.Errorf("%s: %+v", recordList, r)
		}
	}
	for _, c := range Corpora() {
		if !slices.ContainsFunc(all, func(r Record) bool { return r.Suite == c.Name && r.How == "run" }) {
			t.Errorf("%s has no line for %s", recordList, c.Name)
		}
	}
}

// report runs a suite and prints its line. The line is an interface: exactly this form,
// without the prefix of t.Log.
func report(t *testing.T, suite string, required bool, cases []Case, complain complaint) (passed, against int) {
	path := otherList
	if required {
		path = adjudicatedList
	}
	list, err := Reviewed(path)
	if err != nil {
		t.Fatal(err)
	}
	passed, against = runSuite(t, suite, cases, list, complain)
	if required {
		fmt.Printf("SUITE %s %d/%d adjudicated %d other 0/0\n", suite, passed, len(cases), against)
	} else {
		fmt.Printf("SUITE %s 0/0 adjudicated 0 other %d/%d\n", suite, passed, len(cases))
	}
	return passed, against
}

// complaint is Errorf or Logf of a test.
type complaint func(format string, args ...any)

// runSuite complains of a case that does not hold and is not in the list, and of one that
// holds and is.
func runSuite(t *testing.T, suite string, cases []Case, list map[string]bool, complain complaint) (passed, against int) {
	for _, c := range cases {
		problem, known := c.Problem(t.Context()), list[suite+" "+c.Name]
		switch {
		case problem == "" && known:
			complain("%s: %s holds: take it off the list", suite, c.Name)
		case problem == "":
			passed++
		case known:
			against++
		default:
			complain("%s: %s: %s", suite, c.Name, problem)
		}
	}
	return passed, against
}

// TestSharedSuites: the folders of POSTSEAL_SUITES hold independent cases with a format
// page of their own, which is not part of the repository.
func TestSharedSuites(t *testing.T) {
	paths := os.Getenv("POSTSEAL_SUITES")
	if paths == "" {
		paths = "../../../shared/suites/open"
	}
	for _, dir := range filepath.SplitList(paths) {
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("skipped: no suites in %s (POSTSEAL_SUITES names the folders)", dir)
		}
	}
	t.Skipf("skipped: no reader yet for the format of the suites in %s", paths)
}
