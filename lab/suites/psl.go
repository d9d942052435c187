package suites

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"postseal/dmarc"
	"postseal/internal/core/domain"
)

// pslTest is a line of test_psl.txt: a name and its registrable domain, or null.
var pslTest = regexp.MustCompile(`(?m)^checkPublicSuffix\(('?)([^'\n]*?)'?, ?('?)([^'\n]*?)'?\);`)

// readPSL reads the vectors of the Public Suffix List.
func readPSL(dir string) ([]Case, error) {
	data, err := os.ReadFile(filepath.Join(dir, "tests/test_psl.txt"))
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, m := range pslTest.FindAllSubmatch(data, -1) {
		name, want := string(m[2]), string(m[4])
		cases = append(cases, Case{name, func(ctx context.Context) string { return pslProblem(ctx, name, want) }})
	}
	return cases, nil
}

// pslProblem asks for the Organizational Domain as RFC 7489 §3.2 finds it. That of a public
// suffix, for which the vectors have null, is itself.
func pslProblem(ctx context.Context, name, want string) string {
	n, err := domain.Parse(name)
	if err != nil {
		return unless(want == "null", err.Error())
	}
	e := dmarc.Evaluator{Resolver: textZone(nil), Discovery: dmarc.PSL}
	got := e.Discover(ctx, n).OrgDomain
	if suffix, _ := n.PublicSuffix(); suffix == n && got == string(n) {
		got = "null"
	}
	if w, err := domain.Parse(want); err == nil {
		want = string(w)
	}
	return unless(got == want, fmt.Sprintf("got %s, want %s", got, want))
}

func unless(holds bool, problem string) string {
	if holds {
		return ""
	}
	return problem
}
