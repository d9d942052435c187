package auditview_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"

	"postseal/audit"
	"postseal/internal/app/auditview"
	"postseal/resolver"
)

// records answers with the same texts for every domain, whatever they hold.
type records struct{ spf, policy, key, host string }

// Lookup implements resolver.Resolver.
func (x records) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	text := x.spf
	switch {
	case t == resolver.MX:
		return resolver.Answer{Records: []resolver.RR{{Target: x.host}}}, nil
	case t != resolver.TXT:
		return resolver.Answer{}, nil
	case strings.HasPrefix(name, "_dmarc."):
		text = x.policy
	case strings.Contains(name, "._domainkey."):
		text = x.key
	case strings.HasPrefix(name, "_"):
		text = x.key + x.policy
	}
	return resolver.Answer{Records: []resolver.RR{{Text: text}}}, nil
}

// markup is a character that Markdown or HTML takes for more than itself.
var markup = regexp.MustCompile(`(^|[^\\])(<|!\[)`)

// FuzzFormats: whatever the records of a domain hold, each form of its audit is well-formed,
// and nothing of them is markup, a formula or its own line.
func FuzzFormats(f *testing.F) {
	f.Add("v=spf1 include:<script>alert(1)</script>.test =cmd|x&\u00c4 -all", "v=DMARC1; p=reject; rua=mailto:\"><img src=x>@b.test,http://x", "v=DKIM1; p=\r\n\r\n# x", "=cmd|' /c calc'!a0.test")
	f.Add("v=spf1 ![x](http://a) `x` | x | \x1b[31m", "v=DMARC1; p=\x00", "v=TLSRPTv1; rua=]]>", "\xff\xfe.test")
	f.Fuzz(func(t *testing.T, spf, policy, key, host string) {
		auditor := audit.Auditor{Resolver: records{spf, policy, key, host}}
		list := []*audit.Report{auditor.Audit(t.Context(), "a.test", audit.Options{})}
		rows, err := csv.NewReader(strings.NewReader(write(t, "csv", list, auditview.Source{}))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
					t.Errorf("a spreadsheet takes %q for a formula", cell)
				}
			}
		}
		for line := range strings.Lines(write(t, "md", list, auditview.Source{})) {
			if markup.MatchString(line) || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b\r") {
				t.Errorf("markup in %q", line)
			}
		}
		if text := write(t, "sarif", list, auditview.Source{}); !json.Valid([]byte(text)) {
			t.Errorf("no JSON: %s", text)
		}
		readXML(t, write(t, "junit", list, auditview.Source{}), true)
		page := write(t, "html", list, auditview.Source{})
		readXML(t, strings.Map(character, page), false)
		for _, bad := range []string{"<script", "<img", "<a "} {
			if strings.Contains(strings.ToLower(page), bad) {
				t.Errorf("the page holds %q", bad)
			}
		}
	})
}

// character omits what HTML may hold and XML may not.
func character(c rune) rune {
	if c < ' ' && c != '\n' && c != '\t' || c == 0xfffe || c == 0xffff {
		return -1
	}
	return c
}

func readXML(t *testing.T, text string, strict bool) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	if !strict {
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	}
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}
