package spf_test

import (
	"fmt"
	"strings"
	"testing"

	"postseal/resolver/dnstest"
	"postseal/spf"
)

// zoneChecker is a Checker that knows one zone.
func zoneChecker(t testing.TB, zone string) *spf.Checker {
	t.Helper()
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	return &spf.Checker{Resolver: z}
}

// appendixA is the DNS setup of RFC 7208 Appendix A, without the record of example.com.
const appendixA = `$TTL 60
$ORIGIN example.com.
@           MX  10 mail-a
            MX  20 mail-b
            A   192.0.2.10
            A   192.0.2.11
amy         A   192.0.2.65
bob         A   192.0.2.66
mail-a      A   192.0.2.129
mail-b      A   192.0.2.130
www         CNAME example.com.
$ORIGIN example.org.
@           MX  10 mail-c
mail-c      A   192.0.2.140
$ORIGIN 2.0.192.in-addr.arpa.
10          PTR example.com.
11          PTR example.com.
65          PTR amy.example.com.
66          PTR bob.example.com.
129         PTR mail-a.example.com.
130         PTR mail-b.example.com.
140         PTR mail-c.example.org.
$ORIGIN 0.0.10.in-addr.arpa.
4           PTR bob.example.com.
`

// TestSimpleExamples: RFC 7208 Appendix A.1.
func TestSimpleExamples(t *testing.T) {
	all := []string{"192.0.2.10", "192.0.2.11", "192.0.2.65", "192.0.2.66", "192.0.2.128", "192.0.2.129", "192.0.2.130", "192.0.2.131",
		"192.0.2.132", "192.0.2.140", "192.0.2.143", "192.0.2.144", "10.0.0.4", "203.0.113.1"}
	for record, pass := range map[string]string{
		"v=spf1 +all":                             strings.Join(all, " "),
		"v=spf1 a -all":                           "192.0.2.10 192.0.2.11",
		"v=spf1 a:example.org -all":               "",
		"v=spf1 a:www.example.com -all":           "192.0.2.10 192.0.2.11",
		"v=spf1 mx -all":                          "192.0.2.129 192.0.2.130",
		"v=spf1 mx:example.org -all":              "192.0.2.140",
		"v=spf1 mx mx:example.org -all":           "192.0.2.129 192.0.2.130 192.0.2.140",
		"v=spf1 mx/30 mx:example.org/30 -all":     "192.0.2.128 192.0.2.129 192.0.2.130 192.0.2.131 192.0.2.140 192.0.2.143",
		"v=spf1 ptr -all":                         "192.0.2.10 192.0.2.11 192.0.2.65 192.0.2.66 192.0.2.129 192.0.2.130",
		"v=spf1 ip4:192.0.2.128/28 -all":          "192.0.2.128 192.0.2.129 192.0.2.130 192.0.2.131 192.0.2.132 192.0.2.140 192.0.2.143",
		"v=spf1 -ip4:192.0.2.0/24 ip4:10.0.0.0/8": "10.0.0.4",
	} {
		c := zoneChecker(t, appendixA+`example.com. TXT "`+record+`"`)
		for _, ip := range all {
			got := check(t, c, ip, "h.test", "user@example.com", spf.MailFrom)
			want := strings.Contains(" "+pass+" ", " "+ip+" ")
			if (got.Code == spf.Pass) != want {
				t.Errorf("%s from %s: got %s (%s), want pass %v", record, ip, got.Code, got.Problem, want)
			}
		}
	}
}

// TestCombinedExamples: RFC 7208 Appendix A.2, A.3 and A.4.
func TestCombinedExamples(t *testing.T) {
	c := zoneChecker(t, appendixA+`
example.com.        TXT "v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all"
mobile-users._spf.example.com. TXT "v=spf1 exists:%{l1r+}.%{d}"
remote-users._spf.example.com. TXT "v=spf1 exists:%{ir}.%{l1r+}.%{d}"
example.org.        TXT "v=spf1 include:example.com include:example.net -all"
example.net.        TXT "v=spf1 ip4:203.0.113.0/24 -all"
la.example.org.     TXT "v=spf1 redirect=example.org"
demorgan.test.      TXT "v=spf1 " "-include:ip4._spf.%{d} " "-include:ptr._spf.%{d} " "+all"
ip4._spf.demorgan.test. TXT "v=spf1 -ip4:192.0.2.0/24 +all"
ptr._spf.demorgan.test. TXT "v=spf1 -ptr:example.com +all"
$ORIGIN _spf.example.com.
mary.mobile-users                   A 127.0.0.2
fred.mobile-users                   A 127.0.0.2
15.15.168.192.joel.remote-users     A 127.0.0.2
16.15.168.192.joel.remote-users     A 127.0.0.2
`)
	for _, tt := range []struct {
		ip, sender string
		want       spf.Code
	}{
		{"192.0.2.129", "x@example.com", spf.Pass},
		{"198.51.100.1", "mary@example.com", spf.Pass},
		{"198.51.100.1", "mary+list@example.com", spf.Pass},
		{"198.51.100.1", "joel@example.com", spf.Fail},
		{"192.168.15.15", "joel@example.com", spf.Pass},
		{"192.168.15.16", "joel@example.com", spf.Pass},
		{"192.168.15.17", "joel@example.com", spf.Fail},
		{"203.0.113.9", "x@example.org", spf.Pass},
		{"192.0.2.129", "x@la.example.org", spf.Pass},
		{"198.51.100.1", "x@la.example.org", spf.Fail},
		{"192.0.2.65", "x@demorgan.test", spf.Pass},
		{"192.0.2.140", "x@demorgan.test", spf.Fail},
		{"203.0.113.9", "x@demorgan.test", spf.Fail},
	} {
		if got := check(t, c, tt.ip, "h.test", tt.sender, spf.MailFrom); got.Code != tt.want {
			t.Errorf("%s from %s: got %s (%s), want %s", tt.sender, tt.ip, got.Code, got.Problem, tt.want)
		}
	}
}

// expansion is what a macro-string expands to as an explanation, or "".
func expansion(t *testing.T, macro, ip, sender string) string {
	t.Helper()
	_, domain, _ := strings.Cut(sender, "@")
	c := zoneChecker(t, domain+`. TXT "v=spf1 -all exp=exp.test"
exp.test. TXT "`+macro+`"
3.2.0.192.in-addr.arpa. PTR mx.example.org.
mx.example.org. A 192.0.2.3
`)
	c.Receiver = "mx.r.test"
	return check(t, c, ip, "helo_Name.test", sender, spf.MailFrom).Explanation
}

// TestExpansionExamples: RFC 7208 §7.4, and the rules of §7.3 that it does not show.
func TestExpansionExamples(t *testing.T) {
	const sender, ip6 = "strong-bad@email.example.com", "2001:db8::cb01"
	nibbles := "1.0.B.C." + strings.Repeat("0.", 20) + "8.B.D.0.1.0.0.2"
	for _, tt := range []struct{ macro, ip, want string }{
		{"%{s}", "192.0.2.3", "strong-bad@email.example.com"},
		{"%{o}", "192.0.2.3", "email.example.com"},
		{"%{d}", "192.0.2.3", "email.example.com"},
		{"%{d4}", "192.0.2.3", "email.example.com"},
		{"%{d3}", "192.0.2.3", "email.example.com"},
		{"%{d2}", "192.0.2.3", "example.com"},
		{"%{d1}", "192.0.2.3", "com"},
		{"%{dr}", "192.0.2.3", "com.example.email"},
		{"%{d2r}", "192.0.2.3", "example.email"},
		{"%{l}", "192.0.2.3", "strong-bad"},
		{"%{l-}", "192.0.2.3", "strong.bad"},
		{"%{lr}", "192.0.2.3", "strong-bad"},
		{"%{lr-}", "192.0.2.3", "bad.strong"},
		{"%{l1r-}", "192.0.2.3", "strong"},
		{"%{ir}.%{v}._spf.%{d2}", "192.0.2.3", "3.2.0.192.in-addr._spf.example.com"},
		{"%{lr-}.lp._spf.%{d2}", "192.0.2.3", "bad.strong.lp._spf.example.com"},
		{"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "192.0.2.3", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "192.0.2.3", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{"%{d2}.trusted-domains.example.net", "192.0.2.3", "example.com.trusted-domains.example.net"},
		{"%{ir}.%{v}._spf.%{d2}", ip6, nibbles + ".ip6._spf.example.com"},
		{"%{p}", "192.0.2.3", "mx.example.org"},
		{"%{p}", "192.0.2.4", "unknown"},
		{"%{p}", ip6, "unknown"},
		{"%{h}", "192.0.2.3", "helo_Name.test"},
		{"%{r}", "192.0.2.3", "mx.r.test"},
		{"%{c}", ip6, "2001:db8::cb01"},
		{"%{c} %{v}", "::ffff:192.0.2.3", "192.0.2.3 in-addr"},
		{"%%%_%-", "192.0.2.3", "% %20"},
		{"%{S}", "192.0.2.3", "strong-bad%40email.example.com"},
		{"%{LR-}", "192.0.2.3", "bad.strong"},
		{"%{C}", ip6, "2001%3Adb8%3A%3Acb01"},
		{"%{d01}", "192.0.2.3", "com"},
		{"%{d00000000002r}", "192.0.2.3", "example.email"},
		{"%{d127}", "192.0.2.3", "email.example.com"},
		{"%{d99999999999999999999}", "192.0.2.3", "email.example.com"},
		{"%{o.-}", "192.0.2.3", "email.example.com"},
		{"%{d0}", "192.0.2.3", ""},
		{"%{d000}", "192.0.2.3", ""},
		{"%{d-1}", "192.0.2.3", ""},
		{"%{rd}", "192.0.2.3", ""},
		{"%{drr}", "192.0.2.3", ""},
		{"%{x}", "192.0.2.3", ""},
		{"%", "192.0.2.3", ""},
		{"%{d", "192.0.2.3", ""},
		{"%(d)", "192.0.2.3", ""},
	} {
		if got := expansion(t, tt.macro, tt.ip, sender); got != tt.want {
			t.Errorf("%s from %s: got %q, want %q", tt.macro, tt.ip, got, tt.want)
		}
	}
}

// TestDelimiters: each delimiter splits, the parts are joined with dots (RFC 7208 §7.3).
func TestDelimiters(t *testing.T) {
	for macro, want := range map[string]string{
		"%{l}": "a.b-c+d,e/f_g=h", "%{l-}": "a.b.c+d,e/f_g=h", "%{l+}": "a.b-c.d,e/f_g=h", "%{l,}": "a.b-c+d.e/f_g=h",
		"%{l/}": "a.b-c+d,e.f_g=h", "%{l_}": "a.b-c+d,e/f.g=h", "%{l=}": "a.b-c+d,e/f_g.h", "%{lr.-+,/_=}": "h.g.f.e.d.c.b.a",
		"%{l2r.-+,/_=}": "b.a", "%{l3=-}": "a.b.c+d,e/f_g.h",
	} {
		if got := expansion(t, macro, "192.0.2.3", "a.b-c+d,e/f_g=h@d.test"); got != want {
			t.Errorf("%s: got %q, want %q", macro, got, want)
		}
	}
}

// TestManyParts: 127 parts of a value can be told apart, the greatest number of labels that
// a domain name has (RFC 7208 §7.3).
func TestManyParts(t *testing.T) {
	labels := make([]string, 127)
	for i := range labels {
		labels[i] = string(rune('a' + i%26))
	}
	local := strings.Join(labels, "-")
	for n, want := range map[int]string{1: labels[0], 126: strings.Join(reversed(labels)[1:], "."), 127: strings.Join(reversed(labels), "."), 128: strings.Join(reversed(labels), ".")} {
		if got := expansion(t, fmt.Sprintf("%%{l%dr-}", n), "192.0.2.3", local+"@d.test"); got != want {
			t.Errorf("%d parts: got %q, want %q", n, got, want)
		}
	}
}

func reversed(s []string) []string {
	r := make([]string, len(s))
	for i := range s {
		r[len(s)-1-i] = s[i]
	}
	return r
}

// TestLongName: a name over 253 octets loses labels on its left, however long its
// expansion was on the way (RFC 7208 §7.3).
func TestLongName(t *testing.T) {
	label := strings.Repeat("x", 60)
	four := strings.Join([]string{label, label, label, label}, ".") // 243 octets
	tail := four + ".l.test"
	for _, tt := range []struct{ name, macro, want string }{
		{"fits", four, tail},
		{"just fits", "y." + four, "y." + tail},
		{"one label too many", "yyyy." + four, tail},
		{"one of two labels too many", "zz.y." + four, "y." + tail},
		{"two labels too many", "zz.yyyy." + four, tail},
		{"macro on the left", "%{l}." + four, tail},
		{"very long", strings.Repeat("%{l}.", 500) + four, tail},
	} {
		z := "l.test. TXT \"v=spf1 exists:" + strings.Join(chunks(tt.macro), "\" \"") + ".%{d} -all\"\n"
		r := check(t, zoneChecker(t, z), "192.0.2.1", "h.test", "some.local-part@l.test", spf.MailFrom)
		if len(r.Spent) != 1 || r.Spent[0].Name != tt.want {
			t.Errorf("%s: %s, looked up %+v, want %q", tt.name, r.Problem, r.Spent, tt.want)
		}
	}
}

// chunks cuts s into character-strings of a TXT record.
func chunks(s string) []string {
	var all []string
	for len(s) > 200 {
		all, s = append(all, s[:200]), s[200:]
	}
	return append(all, s)
}
