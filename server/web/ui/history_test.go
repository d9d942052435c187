package ui

import (
	"fmt"
	"strings"
	"testing"

	"postseal/audit"
)

// partsText writes a difference in one line.
func partsText(parts []diffPart) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Op + "[" + p.Text + "]")
	}
	return b.String()
}

// TestDiffRecords: the terms of a record that were added and removed, with what is next to them.
func TestDiffRecords(t *testing.T) {
	key := func(middle string) string {
		return "v=DKIM1; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A" + strings.Repeat("a", 200) + middle + "QIDAQABabcdefghijklmnop"
	}
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf("ip4:192.0.2.%d", i))
	}
	for _, c := range []struct{ name, was, is, want string }{
		{"a term is added", "v=spf1 a mx -all", "v=spf1 a include:crm.test mx -all", "[…][a]+[include:crm.test][mx][…]"},
		{"a term is removed", "v=spf1 a mx -all", "v=spf1 a -all", "[…][a]−[mx][-all]"},
		{"a term is replaced", "v=spf1 mx ~all", "v=spf1 mx -all", "[…][mx]−[~all]+[-all]"},
		{"two places", "v=spf1 a mx ip4:192.0.2.1 ptr -all", "v=spf1 b mx ip4:192.0.2.1 -all", "[v=spf1]−[a]+[b][mx][ip4:192.0.2.1]−[ptr][-all]"},
		{"a tag", "v=DMARC1; p=none; rua=mailto:a@b.test", "v=DMARC1;p=reject;rua=mailto:a@b.test;", "[v=DMARC1]−[p=none]+[p=reject][rua=mailto:a@b.test]"},
		{"hosts", "10 mx1.test, 20 mx2.test", "10 mx1.test, 20 mx3.test", "[10 mx1.test]−[20 mx2.test]+[20 mx3.test]"},
		{"published", "", "v=spf1 -all", "+[v=spf1]+[-all]"},
		{"gone", "v=spf1 -all", "", "−[v=spf1]−[-all]"},
		{"only spaces", "v=spf1  -all", "v=spf1 -all", "[…]"},
		{"long terms differ where they are cut", key("x1"), key("x2"), "[v=DKIM1]−[p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A…1QIDAQABabcdefghijklmnop]+[p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A…2QIDAQABabcdefghijklmnop]"},
	} {
		if got := partsText(diffRecords(c.was, c.is)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	if got := diffRecords(strings.Join(many, " "), "v=spf1 "+strings.Join(many[1:], " a ")); len(got) != mostParts+1 {
		t.Errorf("a large record has %d parts", len(got))
	}
}

// TestShownChange: what audit.Diff says of each kind of change keeps its words, without the records that are
// shown below them.
func TestShownChange(t *testing.T) {
	found := func(name string) audit.Status { return audit.Status{Name: name, State: audit.Found} }
	was := &audit.Report{Domain: "a.test", Grade: "B", Findings: []audit.Finding{{ID: "spf.old", Severity: audit.Error, Title: "Old"}}, Records: audit.Records{
		SPF: audit.SPF{Status: found("a.test"), Record: "v=spf1 mx -all"}, DMARC: audit.DMARC{Status: found("_dmarc.a.test"), Record: "v=DMARC1; p=none"}, MX: []audit.MXHost{{Name: "mx1.a.test", Preference: 10}},
		DKIM: []audit.DKIMKey{{Status: found("s1._domainkey.a.test"), Selector: "s1", Record: "v=DKIM1; p=AAAA"}}, BIMI: audit.BIMI{Status: found("default._bimi.a.test"), Record: "v=BIMI1; l="}}}
	is := &audit.Report{Domain: "a.test", Grade: "C", Findings: []audit.Finding{{ID: "spf.new", Severity: audit.Warn, Title: "New"}}, Records: audit.Records{
		SPF: audit.SPF{Status: found("a.test"), Record: "v=spf1 mx a:" + hostile + " -all"}, DMARC: audit.DMARC{Status: audit.Status{Name: "_dmarc.a.test", State: audit.NoData}}, MX: []audit.MXHost{{Name: "mx2.a.test", Preference: 10}},
		DKIM: []audit.DKIMKey{{Status: found("s2._domainkey.a.test"), Selector: "s2", Type: "rsa", Bits: 2048, Record: "v=DKIM1; p=BBBB"}}, TLSRPT: audit.TLSRPT{Status: found("_smtp._tls.a.test"), Record: "v=TLSRPTv1; rua=mailto:a@a.test"}, BIMI: audit.BIMI{Status: found("default._bimi.a.test"), Record: "v=BIMI1; l=x"}}}
	changes := audit.Diff(was, is)
	trees := func(lookups int) *audit.Report {
		return &audit.Report{Grade: "A", Records: audit.Records{SPF: audit.SPF{Status: found("a.test"), Record: "v=spf1 include:b.test -all", Lookups: lookups, Tree: &audit.SPFNode{}}}}
	}
	changes = append(changes, audit.Diff(trees(2), trees(5))...)
	changes = append(changes, audit.Diff(is, was)...)
	var got []string
	for i := range changes {
		s := shownChangeOf(&changes[i])
		got = append(got, strings.TrimSpace(s.Tone+" "+s.Text+" "+partsText(s.Parts)))
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"bad grade B became C: worse", "ok grade C became B: better", "ok spf.old is gone: Old ()", "warn spf.new is new: New ()", "bad spf.old is new: Old ()",
		"SPF changed […][mx]+[a:" + hostile + "][-all]", "DMARC was removed −[v=DMARC1]−[p=none]", "DMARC was published +[v=DMARC1]+[p=none]", "TLS-RPT was published +[v=TLSRPTv1]",
		"MX changed −[10 mx1.a.test]+[10 mx2.a.test]", "the DKIM key s2 is new: rsa 2048 bits +[v=DKIM1]+[p=BBBB]", "the DKIM key s1 is gone −[v=DKIM1]−[p=AAAA]", "BIMI changed [v=BIMI1]−[l=]+[l=x]",
		"the same SPF record now needs 5 lookups instead of 2: an include changed",
	} {
		if !strings.Contains(text+"\n", want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
