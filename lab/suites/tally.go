package suites

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Tally counts how the cases of a suite ended.
type Tally struct {
	Suite       string
	Required    int
	Passed      int // of the required
	Adjudicated int // of the required: decided against, in testdata/suites-adjudicated.txt
	Unsafe      int // failed with a value that lets a forger in or loses mail
	Other       int // not required
	Agreeing    int // of the others
}

// String returns the tally as the test prints it after the name of the suite.
func (r Tally) String() string {
	return fmt.Sprintf("%d/%d adjudicated %d unsafe %d other %d/%d", r.Passed, r.Required, r.Adjudicated, r.Unsafe, r.Agreeing, r.Other)
}

// Add adds the numbers of s to r.
func (r *Tally) Add(s Tally) {
	r.Required += s.Required
	r.Passed += s.Passed
	r.Adjudicated += s.Adjudicated
	r.Unsafe += s.Unsafe
	r.Other += s.Other
	r.Agreeing += s.Agreeing
}

// count adds the verdict of one case. A case that is adjudicated is not unsafe: the list
// says why.
func (r *Tally) count(c *Case, adjudicated bool, v Verdict) {
	passed := v.Problem == ""
	if v.Unsafe && !(c.Required && adjudicated) {
		r.Unsafe++
	}
	switch {
	case !c.Required:
		r.Other++
		if passed {
			r.Agreeing++
		}
	case passed:
		r.Required, r.Passed = r.Required+1, r.Passed+1
	default:
		r.Required++
		if adjudicated {
			r.Adjudicated++
		}
	}
}

const recordForm = "%s\t%d\t%d\t%d\t%d\t%d\t%d\n"

// WriteRecords writes the list that Records reads.
func WriteRecords(path string, all []Tally) error {
	var b strings.Builder
	b.WriteString("# The suites when they were last run: suite, required, passed, adjudicated, unsafe, other, agreeing. Rewritten by go test ./lab/suites -args -update.\n")
	for _, r := range all {
		fmt.Fprintf(&b, recordForm, r.Suite, r.Required, r.Passed, r.Adjudicated, r.Unsafe, r.Other, r.Agreeing)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// Records reads the recorded tallies.
func Records(path string) ([]Tally, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Tally
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			var r Tally
			if _, err := fmt.Sscanf(line+"\n", recordForm, &r.Suite, &r.Required, &r.Passed, &r.Adjudicated, &r.Unsafe, &r.Other, &r.Agreeing); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", path, line, err)
			}
			all = append(all, r)
		}
	}
	return all, lines.Err()
}
