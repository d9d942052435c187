package suites

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/suites.tsv")

const (
	adjudicatedList = "../../testdata/suites-adjudicated.txt" // required cases
	otherList       = "../../testdata/suites-other.txt"       // the others of the module that we disagree with
	recordList      = "../../testdata/suites.tsv"
	defaultSuites   = "../../../shared/suites/open" // next to the repository
)

func moduleDir(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("skipped: the module cache does not hold blitiri.com.ar/go/spf: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

// TestSuites runs every suite. The line that it prints for each is an interface: exactly
// this form, without the prefix of t.Log.
func TestSuites(t *testing.T) {
	adjudicated, err := Reviewed(adjudicatedList)
	if err != nil {
		t.Fatal(err)
	}
	all := []Tally{}
	run := func(t *testing.T, s Suite, list map[string]bool, reviewed bool) {
		r := runSuite(t, s, list, reviewed)
		fmt.Printf("SUITE %s %s\n", r.Suite, r)
		all = append(all, r)
	}
	t.Run("module", func(t *testing.T) {
		dir := moduleDir(t)
		other, err := Reviewed(otherList)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range ModuleSuites() {
			t.Run(s.Name, func(t *testing.T) {
				suite, err := s.Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				if s.Required {
					run(t, suite, adjudicated, true)
				} else {
					run(t, suite, other, true)
				}
			})
		}
	})
	t.Run("open", func(t *testing.T) {
		for _, s := range openSuites(t) {
			t.Run(s.Name, func(t *testing.T) { run(t, s, adjudicated, false) })
		}
	})
	var total Tally
	for _, r := range all {
		total.Add(r)
	}
	fmt.Printf("TOTAL %s\n", total)
	checkRecords(t, all)
}

// openSuites reads the directories of POSTSEAL_SUITES, which are not part of the repository.
func openSuites(t *testing.T) []Suite {
	paths := os.Getenv("POSTSEAL_SUITES")
	if paths == "" {
		paths = defaultSuites
	}
	var all []Suite
	for _, dir := range filepath.SplitList(paths) {
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("skipped: no suites in %s (POSTSEAL_SUITES names their directories)", dir)
		}
		suites, err := ReadOpen(dir)
		if err != nil || len(suites) == 0 {
			t.Fatalf("%s: %d suites: %v", dir, len(suites), err)
		}
		all = append(all, suites...)
	}
	return all
}

// runSuite runs the cases of s. A required case that fails must be in the list, and one that
// passes must not; reviewed says the same of the other cases.
func runSuite(t *testing.T, s Suite, list map[string]bool, reviewed bool) Tally {
	r := Tally{Suite: s.Name}
	for _, c := range s.Cases {
		v, known := c.Run(t.Context()), list[s.Name+" "+c.ID]
		r.count(&c, known, v)
		switch {
		case v.Problem == "" && known:
			t.Errorf("%s: %s passes: take it off the list", s.Name, c.ID)
		case v.Problem == "" || known:
		case c.Required || reviewed:
			t.Errorf("%s: %s: %s", s.Name, c.ID, v)
		default:
			t.Logf("%s: %s (not required): %s", s.Name, c.ID, v)
		}
	}
	return r
}

// checkRecords compares the tallies with the recorded ones, of suites that have as many cases
// as then.
func checkRecords(t *testing.T, all []Tally) {
	if *update {
		if err := WriteRecords(recordList, all); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := Records(recordList)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		for _, old := range recorded {
			if old.Suite == r.Suite && old.Required == r.Required && old.Other == r.Other && old != r {
				t.Errorf("%s has %q, and this run gave %q: go test ./lab/suites -args -update", recordList, old, r)
			}
		}
	}
}
