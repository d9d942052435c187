package suites

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"postseal/authres"
)

// Lines of the doctests of authres: a field is parsed, its parts are printed.
var (
	authresParse = regexp.MustCompile(`^(?:>>>|\.\.\.) +(?:try: )?\w*arobj = .*parse\('(?i:Authentication-Results): (.*)'\)$`)
	authresAsk   = regexp.MustCompile(`^>>> str\(\w*arobj\.(authserv_id|results\[(\d+)\]\.(method|result|reason|properties\[(\d+)\]\.(type|name|value)))\)$`)
)

// readAuthres reads the fields that the tests of authres parse. A case is named by the
// line of its field.
func readAuthres(dir string) ([]Case, error) {
	data, err := os.ReadFile(filepath.Join(dir, "authres/tests"))
	if err != nil {
		return nil, err
	}
	var cases []*authresCase
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if m := authresParse.FindStringSubmatch(line); m != nil {
			cases = append(cases, &authresCase{line: i + 1, field: m[1]})
		}
		if len(cases) == 0 {
			continue
		}
		c := cases[len(cases)-1]
		if strings.HasPrefix(line, "Syntax error:") {
			c.malformed = true
		} else if m := authresAsk.FindStringSubmatch(line); m != nil && i+1 < len(lines) {
			c.checks = append(c.checks, authresCheck{m[1], number(m[2]), m[3], number(m[4]), m[5], strings.Trim(lines[i+1], "'")})
		}
	}
	var all []Case
	for _, c := range cases {
		all = append(all, Case{"line " + strconv.Itoa(c.line), c.problem})
	}
	return all, nil
}

type authresCase struct {
	line      int
	field     string
	malformed bool // the parser must refuse it
	checks    []authresCheck
}

// authresCheck is one part of a field and what it must be.
type authresCheck struct {
	what     string // authserv_id, or a part of a result
	result   int
	part     string
	property int
	of       string // type, name or value of the property
	want     string
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (c *authresCase) problem(context.Context) string {
	f, err := authres.Parse([]byte(c.field))
	switch {
	case c.malformed:
		return unless(err != nil, "read, want a syntax error")
	case err != nil:
		return err.Error()
	}
	for _, check := range c.checks {
		if got := check.get(&f); !strings.EqualFold(got, check.want) {
			return fmt.Sprintf("%s: got %q, want %q", check.what, got, check.want)
		}
	}
	return ""
}

// get is the part of f, as the tests write it: "None" for none.
func (c *authresCheck) get(f *authres.Field) string {
	if c.what == "authserv_id" {
		return f.AuthservID
	}
	if c.result >= len(f.Results) {
		return "no result"
	}
	r := &f.Results[c.result]
	switch {
	case c.part == "method":
		return r.Method
	case c.part == "result":
		return r.Value
	case c.part == "reason" && r.Reason == "":
		return "None"
	case c.part == "reason":
		return r.Reason
	case c.property >= len(r.Properties):
		return "no property"
	}
	p := r.Properties[c.property]
	return map[string]string{"type": p.Type, "name": p.Name, "value": p.Value}[c.of]
}
