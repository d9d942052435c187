package spf_test

import (
	"strings"
	"testing"
	"time"

	"postseal/spf"
)

// TestExplanationRules: RFC 7208 §6.2.
func TestExplanationRules(t *testing.T) {
	for _, tt := range []struct{ name, zone, want string }{
		{"strings are joined", `e.test. TXT "v=spf1 -all exp=x.test"` + "\n" + `x.test. TXT "a" "b c"`, "ab c"},
		{"empty text", `e.test. TXT "v=spf1 -all exp=x.test"` + "\n" + `x.test. TXT ""`, ""},
		{"before the mechanism", `e.test. TXT "v=spf1 exp=x.test -all"` + "\nx.test. TXT why", "why"},
		{"any qualifier -", `e.test. TXT "v=spf1 -ip4:192.0.2.0/24 exp=x.test"` + "\nx.test. TXT why", "why"},
		{"macro in its name", `e.test. TXT "v=spf1 -all exp=%{l}.%{d}"` + "\na.e.test. TXT why", "why"},
		{"fail by an include that passes", `e.test. TXT "v=spf1 -include:i.test exp=x.test"` + "\n" +
			`i.test. TXT "v=spf1 +all exp=y.test"` + "\nx.test. TXT outer\ny.test. TXT inner", "outer"},
		{"softfail", `e.test. TXT "v=spf1 ~all exp=x.test"` + "\nx.test. TXT why", ""},
		{"neutral", `e.test. TXT "v=spf1 ?all exp=x.test"` + "\nx.test. TXT why", ""},
		{"pass", `e.test. TXT "v=spf1 +all exp=x.test"` + "\nx.test. TXT why", ""},
		{"redirect, the first record's", `e.test. TXT "v=spf1 redirect=r.test exp=x.test"` + "\n" + `r.test. TXT "v=spf1 -all"` + "\nx.test. TXT why", ""},
		{"redirect, the target's, %{d} is the target", `e.test. TXT "v=spf1 redirect=r.test exp=x.test"` + "\n" +
			`r.test. TXT "v=spf1 -all exp=y.test"` + "\ny.test. TXT \"%{d} %{o}\"", "r.test e.test"},
		{"no such name", `e.test. TXT "v=spf1 -all exp=x.test"`, ""},
		{"no TXT", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. A 192.0.2.1", ""},
		{"two records", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT one\nx.test. TXT two", ""},
		{"SERVFAIL", `e.test. TXT "v=spf1 -all exp=x.test"` + "\n; FAULT x.test TXT SERVFAIL", ""},
		{"timeout", `e.test. TXT "v=spf1 -all exp=x.test"` + "\n; FAULT x.test TXT TIMEOUT", ""},
		{"syntax error", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"50% off\"", ""},
		{"unknown macro", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"%{q}\"", ""},
		{"line end", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"a\\013\\010b\"", ""},
		{"tab", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"a\\009b\"", ""},
		{"UTF-8", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"\\195\\164\"", ""},
		{"letters of explanations", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"%{c} %{r}\"", "192.0.2.1 unknown"},
		{"longer than a reply should be", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"" + strings.Repeat("x", 250) + "\" \"" + strings.Repeat("y", 250) + "\"", strings.Repeat("x", 250) + "y ..."},
		{"longer, cut at a word", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT \"" + strings.Repeat("mail ", 48) + "\" \"" + strings.Repeat("from ", 48) + "\"", strings.Repeat("mail ", 48) + "from from ..."},
		{"very much longer", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT" + strings.Repeat(" \""+strings.Repeat("x", 250)+"\"", 20), ""},
		{"expands without end", `e.test. TXT "v=spf1 -all exp=x.test"` + "\nx.test. TXT" + strings.Repeat(" \""+strings.Repeat("%{h}", 60)+"\"", 10), strings.Repeat("h.test", 43)[:251] + " ..."},
	} {
		r := check(t, zoneChecker(t, tt.zone), "192.0.2.1", "h.test", "a@e.test", spf.MailFrom)
		if r.Explanation != tt.want {
			t.Errorf("%s: got %q with %s, want %q", tt.name, r.Explanation, r.Code, tt.want)
		}
		if r.Code == spf.TempError || r.Code == spf.PermError {
			t.Errorf("%s: exp changed the result to %s", tt.name, r.Code)
		}
	}
}

// TestExplanationTime: %{t} is the clock of the verdict.
func TestExplanationTime(t *testing.T) {
	c := zoneChecker(t, `e.test. TXT "v=spf1 -all exp=x.test"`+"\nx.test. TXT \"%{t}\"")
	c.Now = func() time.Time { return time.Unix(1767571200, 5) }
	if r := check(t, c, "192.0.2.1", "h.test", "a@e.test", spf.MailFrom); r.Explanation != "1767571200" {
		t.Errorf("got %q", r.Explanation)
	}
}

// TestCacheableRules: a result holds for every sender only if no term that was evaluated
// looks at the sender, and as long as its shortest answer (RFC 7208 §7.3).
func TestCacheableRules(t *testing.T) {
	for _, tt := range []struct {
		name, zone string
		want       bool
		ttl        time.Duration
	}{
		{"static", `c.test. 100 TXT "v=spf1 a:h.test -all"` + "\nh.test. 50 A 192.0.2.9", true, 50 * time.Second},
		{"%{s}", `c.test. 100 TXT "v=spf1 exists:%{s}.x.test -all"`, false, 0},
		{"%{l}", `c.test. 100 TXT "v=spf1 exists:%{l}.x.test -all"`, false, 0},
		{"%{o}", `c.test. 100 TXT "v=spf1 exists:%{o}.x.test -all"`, false, 0},
		{"%{H}", `c.test. 100 TXT "v=spf1 exists:%{H}.x.test -all"`, false, 0},
		{"%{d}, %{i} and %{v}", `c.test. 100 TXT "v=spf1 exists:%{ir}.%{v}.%{d}.x.test -all"`, true, 60 * time.Second},
		{"after the match", `c.test. 100 TXT "v=spf1 ip4:192.0.2.1 exists:%{l}.x.test -all"`, true, 100 * time.Second},
		{"in a redirect", `c.test. 100 TXT "v=spf1 redirect=%{l}.x.test"` + "\na.x.test. 100 TXT \"v=spf1 -all\"", false, 0},
		{"in an include", `c.test. 100 TXT "v=spf1 include:i.test -all"` + "\ni.test. 100 TXT \"v=spf1 exists:%{l}.x.test\"", false, 0},
		{"in the name of the explanation", `c.test. 100 TXT "v=spf1 -all exp=%{l}.x.test"`, false, 0},
		{"in the explanation", `c.test. 100 TXT "v=spf1 -all exp=x.test"` + "\nx.test. 100 TXT \"%{s} may not\"", false, 0},
		{"explanation without the sender", `c.test. 100 TXT "v=spf1 -all exp=x.test"` + "\nx.test. 30 TXT \"%{i} may not\"", true, 30 * time.Second},
		{"TTL 0", `c.test. 0 TXT "v=spf1 -all"`, false, 0},
		{"temperror", `c.test. 100 TXT "v=spf1 a:h.test -all"` + "\n; FAULT h.test A SERVFAIL", false, 0},
		{"permerror", `c.test. 100 TXT "v=spf1 foo"`, true, 100 * time.Second},
	} {
		r := check(t, zoneChecker(t, tt.zone), "192.0.2.1", "h.test", "a@c.test", spf.MailFrom)
		if r.Cacheable != tt.want || tt.want && r.TTL != tt.ttl {
			t.Errorf("%s: got %v for %v, want %v for %v", tt.name, r.Cacheable, r.TTL, tt.want, tt.ttl)
		}
	}
}
