package suites

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postseal/spf"
)

// moduleSuites are the suite files of blitiri.com.ar/go/spf in the module cache.
var moduleSuites = []struct{ name, file string }{
	{"openspf-rfc7208", "rfc7208-tests.yml"},
	{"openspf-rfc4408", "rfc4408-tests.yml"},
}

func moduleDir(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("skipped: the module cache does not hold blitiri.com.ar/go/spf: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

// adjudicated reads the cases that we decide against: suite, id, RFC section, reason,
// separated by tabs.
func adjudicated(t *testing.T) map[string]bool {
	f, err := os.Open("../../testdata/suites-adjudicated.txt")
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
			t.Fatalf("testdata/suites-adjudicated.txt: %q needs four fields separated by tabs", line)
		}
		cases[fields[0]+" "+fields[1]] = true
	}
	return cases
}

func TestOpenSPF(t *testing.T) {
	dir, decided := moduleDir(t), adjudicated(t)
	for _, suite := range moduleSuites {
		t.Run(suite.name, func(t *testing.T) {
			cases, err := ReadSPF(filepath.Join(dir, suite.file))
			if err != nil {
				t.Fatal(err)
			}
			passed, against := 0, 0
			for _, c := range cases {
				problem := runSPF(t, c)
				switch {
				case problem == "":
					passed++
				case decided[suite.name+" "+c.Name]:
					against++
				default:
					t.Errorf("%s: %s (%s): %s", suite.name, c.Name, c.Spec, problem)
				}
			}
			t.Logf("SUITE %s %d/%d adjudicated %d other 0/0", suite.name, passed, len(cases), against)
		})
	}
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
