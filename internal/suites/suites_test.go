package suites

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
)

func TestOpenSPF(t *testing.T) {
	dir := moduleDir(t)
	for _, s := range ModuleSuites() {
		t.Run(s.Name, func(t *testing.T) {
			cases, err := ReadSPF(filepath.Join(dir, s.File))
			if err != nil {
				t.Fatal(err)
			}
			path := otherList
			if s.Required {
				path = adjudicatedList
			}
			list, err := Reviewed(path)
			if err != nil {
				t.Fatal(err)
			}
			passed, against := runSuite(t, s, cases, list)
			required, other := len(cases), 0
			agreeing := 0
			if !s.Required {
				required, other, passed, agreeing, against = 0, required, 0, passed, 0
			}
			// The line is an interface: exactly this form, without the prefix of t.Log.
			fmt.Printf("SUITE %s %d/%d adjudicated %d other %d/%d\n", s.Name, passed, required, against, agreeing, other)
		})
	}
}

// runSuite fails for a case that does not hold and is not in the list, and for one that
// holds and is.
func runSuite(t *testing.T, s Suite, cases []SPFCase, list map[string]bool) (passed, against int) {
	for _, c := range cases {
		problem, known := c.Problem(t.Context()), list[s.Name+" "+c.Name]
		switch {
		case problem == "" && known:
			t.Errorf("%s: %s holds: take it off the list", s.Name, c.Name)
		case problem == "":
			passed++
		case known:
			against++
		default:
			t.Errorf("%s: %s (%s): %s", s.Name, c.Name, c.Spec, problem)
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
