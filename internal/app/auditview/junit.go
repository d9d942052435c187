package auditview

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"

	"postseal/audit"
)

// junit has a test suite for each domain, with a test case for each area of rules. A finding
// that --fail-on counts fails it, and an area that could not be checked is an error.
type junit struct {
	w       *bufio.Writer
	options Options
	started bool
}

type suite struct {
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Cases    []testCase
	Out      string `xml:"system-out,omitempty"`
}

type testCase struct {
	XMLName   xml.Name  `xml:"testcase"`
	Name      string    `xml:"name,attr"`
	Classname string    `xml:"classname,attr"`
	Failures  []problem `xml:"failure"`
	Errors    []problem `xml:"error"`
	Out       string    `xml:"system-out,omitempty"`
}

type problem struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

var areas = []string{"spf", "dkim", "dmarc", "domain", "mx", "parked", "mtasts", "tlsrpt", "dane", "starttls", "dnssec", "caa", "ns", "bimi", "txt", "bulk"}

// checks returns the area of a failed check.
var checks = map[string]string{"mta-sts": "mtasts", "tls-rpt": "tlsrpt", "authoritative": "ns"}

// Report implements Writer.
func (j *junit) Report(r *audit.Report, _ Source) error {
	j.begin()
	s := suite{Name: clean(r.Domain)}
	for _, area := range areas {
		c := testCase{Name: area, Classname: "postseal." + clean(r.Domain)}
		j.fill(&c, r)
		s.Tests++
		if len(c.Failures) > 0 {
			s.Failures++
		}
		if len(c.Errors) > 0 {
			s.Errors++
		}
		s.Cases = append(s.Cases, c)
	}
	s.Out = clean(publication(r))
	e := xml.NewEncoder(j.w)
	e.Indent("  ", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	j.w.WriteByte('\n')
	return j.w.Flush()
}

func published(value string) string {
	if value == "" {
		return ""
	}
	return "\npublish: " + value
}

// publication writes the record to publish at each name.
func publication(r *audit.Report) string {
	var b strings.Builder
	for _, p := range r.Publish {
		fmt.Fprintf(&b, "publish at %s (%s), which fixes %s:\n%s\n", p.Name, p.Type, strings.Join(p.Mends, ", "), p.Value)
	}
	for _, n := range r.NoRecord {
		fmt.Fprintf(&b, "no record to publish at %s: %s\n", n.Name, n.Reason)
	}
	return b.String()
}

func (j *junit) fill(c *testCase, r *audit.Report) {
	var notes []string
	for i := range r.Findings {
		f := &r.Findings[i]
		area, _, _ := strings.Cut(f.ID, ".")
		switch {
		case area != c.Name:
		case !j.options.fails(r, f):
			notes = append(notes, f.ID+": "+f.Detail)
		default:
			c.Failures = append(c.Failures, problem{clean(f.ID), clean(f.Title), clean(f.Detail + "\nfix: " + f.Fix + published(f.Publish))})
		}
	}
	for _, u := range r.Unchecked {
		area := u.Check
		if checks[area] != "" {
			area = checks[area]
		}
		if area == c.Name && u.Grave {
			c.Errors = append(c.Errors, problem{clean(string(u.Kind)), "could not be checked", clean(u.Detail)})
		}
	}
	c.Out = clean(strings.Join(notes, "\n"))
}

func (j *junit) begin() {
	if !j.started {
		j.started = true
		j.w.WriteString(xml.Header + "<testsuites name=\"postseal audit\">\n")
	}
}

// Close implements Writer.
func (j *junit) Close() error {
	j.begin()
	j.w.WriteString("</testsuites>\n")
	return j.w.Flush()
}

// clean removes characters that XML does not allow.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 && c != '\n' && c != '\t' || c == utf8.RuneError || c == 0xfffe || c == 0xffff {
			return '?'
		}
		return c
	}, s)
}
