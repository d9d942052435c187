package suites

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postseal/spf"
)

// suite is one file of cases, and how many of them must pass.
type suite struct {
	name, file string
	required   bool // else run and reported apart
}

// moduleSuites are the suite files of blitiri.com.ar/go/spf in the module cache.
var moduleSuites = []suite{
	{"openspf-rfc7208", "rfc7208-tests.yml", true},
	{"openspf-rfc4408", "rfc4408-tests.yml", true},
	{"blitirispf", "blitirispf-tests.yml", false},
	{"pyspf", "pyspf-tests.yml", false},
}

func moduleDir(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("skipped: the module cache does not hold blitiri.com.ar/go/spf: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

// reviewed reads the cases of a list that we decide against: suite, id, RFC section,
// reason, separated by tabs.
func reviewed(t *testing.T, path string) map[string]bool {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 {
			t.Fatalf("%s: %q needs four fields separated by tabs", path, line)
		}
		cases[fields[0]+" "+fields[1]] = true
	}
	return cases
}

const (
	adjudicatedList = "../../testdata/suites-adjudicated.txt" // required cases
	otherList       = "../../testdata/suites-other.txt"       // the others that we disagree with
)

func TestOpenSPF(t *testing.T) {
	dir := moduleDir(t)
	lists := map[bool]map[string]bool{true: reviewed(t, adjudicatedList), false: reviewed(t, otherList)}
	for _, s := range moduleSuites {
		t.Run(s.name, func(t *testing.T) {
			cases, err := ReadSPF(filepath.Join(dir, s.file))
			if err != nil {
				t.Fatal(err)
			}
			passed, against := runSuite(t, s, cases, lists[s.required])
			required, other := len(cases), 0
			agreeing := 0
			if !s.required {
				required, other, passed, agreeing, against = 0, required, 0, passed, 0
			}
			// The line is an interface: exactly this form, without the prefix of t.Log.
			fmt.Printf("SUITE %s %d/%d adjudicated %d other %d/%d\n", s.name, passed, required, against, agreeing, other)
		})
	}
}

// runSuite fails for a case that does not hold and is not in the list, and for one that
// holds and is.
func runSuite(t *testing.T, s suite, cases []SPFCase, list map[string]bool) (passed, against int) {
	for _, c := range cases {
		problem, known := runSPF(t, c), list[s.name+" "+c.Name]
		switch {
		case problem == "" && known:
			t.Errorf("%s: %s holds: take it off the list", s.name, c.Name)
		case problem == "":
			passed++
		case known:
			against++
		default:
			t.Errorf("%s: %s (%s): %s", s.name, c.Name, c.Spec, problem)
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

// runSPF returns what is wrong, "" when nothing is.
func runSPF(t *testing.T, c SPFCase) string {
	checker := spf.Checker{Resolver: c.Zone, Receiver: "unknown"}
	r := checker.Check(t.Context(), spf.Request{IP: c.Host, Helo: c.Helo, Sender: c.MailFrom, Identity: spf.MailFrom})
	if !slices.Contains(c.Results, string(r.Code)) {
		return "got " + string(r.Code) + " (" + r.Problem + "), want " + strings.Join(c.Results, " or ")
	}
	want := c.Explanation
	if want == "DEFAULT" {
		want = ""
	}
	if c.Explanation != "" && r.Explanation != want {
		return "explanation: got " + r.Explanation + ", want " + want
	}
	return ""
}
