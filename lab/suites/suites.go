// Package suites runs independent test suites of other projects against the engine.
//
// Data of others is read where it lies and never copied here: the openspf.org suites of
// RFC 7208 and RFC 4408 come inside the module blitiri.com.ar/go/spf; all others are read
// from directories outside of the repository.
package suites

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postseal/spf"
)

// Case is one case of a suite.
type Case struct {
	ID       string
	Required bool // it must pass or be adjudicated; the others are run and counted apart
	Run      func(context.Context) Verdict
}

// Suite is a named list of cases.
type Suite struct {
	Name  string
	Cases []Case
}

// ModuleSuite is one file of cases in the testdata of blitiri.com.ar/go/spf.
type ModuleSuite struct {
	Name     string
	File     string
	Required bool // as in Case
}

// ModuleSuites returns the suites that come inside the module blitiri.com.ar/go/spf.
func ModuleSuites() []ModuleSuite {
	return []ModuleSuite{
		{"openspf-rfc7208", "rfc7208-tests.yml", true},
		{"openspf-rfc4408", "rfc4408-tests.yml", true},
		{"blitirispf", "blitirispf-tests.yml", false},
		{"pyspf", "pyspf-tests.yml", false},
	}
}

// Read reads the suite in dir, the testdata of the module.
func (s *ModuleSuite) Read(dir string) (Suite, error) {
	cases, err := ReadSPF(filepath.Join(dir, s.File))
	if err != nil {
		return Suite{}, err
	}
	suite := Suite{Name: s.Name}
	for _, c := range cases {
		suite.Cases = append(suite.Cases, Case{c.Name, s.Required, func(ctx context.Context) Verdict {
			return Verdict{Problem: c.Problem(ctx)}
		}})
	}
	return suite, nil
}

// Reviewed reads a list of cases that we decide against: suite, id, RFC section, one
// sentence, separated by tabs. The keys are "suite id".
func Reviewed(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cases := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("%s: %q needs four fields separated by tabs", path, line)
		}
		cases[fields[0]+" "+fields[1]] = true
	}
	return cases, lines.Err()
}

// Problem runs the case and says what is wrong, "" when nothing is.
func (c *SPFCase) Problem(ctx context.Context) string {
	checker := spf.Checker{Resolver: c.Zone, Receiver: "unknown"}
	r := checker.Check(ctx, spf.Request{IP: c.Host, Helo: c.Helo, Sender: c.MailFrom, Identity: spf.MailFrom})
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
