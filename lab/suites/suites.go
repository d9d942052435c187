package suites

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"postseal/spf"
)

// Suite is one file of cases.
type Suite struct {
	Name     string
	File     string // in the testdata of blitiri.com.ar/go/spf
	Required bool   // every case must pass, or be adjudicated; else run and reported apart
}

// ModuleSuites are the suites that come inside the module blitiri.com.ar/go/spf.
func ModuleSuites() []Suite {
	return []Suite{
		{"openspf-rfc7208", "rfc7208-tests.yml", true},
		{"openspf-rfc4408", "rfc4408-tests.yml", true},
		{"blitirispf", "blitirispf-tests.yml", false},
		{"pyspf", "pyspf-tests.yml", false},
	}
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
