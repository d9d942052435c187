package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestCompile(t *testing.T) {
	tests := []struct {
		name, config string
		want         []string // "table index key line:column text", text by its beginning
	}{
		{"fine", "[[exempt]]\nip = '192.0.2.0/24'\n[[rule]]\nwhen='true'\naction='accept'", nil},
		{"empty exemption", "[[exempt]]\nwhy = 'x'", []string{"exempt 0  0:0 an exemption needs at least one of ip, client, spf_of, user, dkim, spf"}},
		{"address", "[[exempt]]\nip = '192.0.2.0/33'", []string{`exempt 0 ip 0:0 "192.0.2.0/33" is not an address or CIDR`}},
		{"address with a zone", "[[exempt]]\nip = 'fe80::1%eth0'", []string{`exempt 0 ip 0:0 "fe80::1%eth0" is not an address or CIDR`}},
		{"mapped network", "[[exempt]]\nip = '::ffff:192.0.2.0/120'", nil},
		{"mapped network that is too wide", "[[exempt]]\nip = '::ffff:0:0/90'", []string{`exempt 0 ip 0:0 "::ffff:0:0/90" is not an address or CIDR`}},
		{"domains", "[[exempt]]\ndkim = 'a..b'\nspf = 'x y'", []string{`exempt 0 dkim 0:0 "a..b" is not a domain name`, `exempt 0 spf 0:0 "x y" is not a domain name`}},
		{"lone list_id", "[[exempt]]\nlist_id = 'a.example'", []string{"exempt 0 list_id 0:0 anyone can write a List-Id: add the ip, client, spf_of, dkim or spf"}},
		{"list_id with user alone", "[[exempt]]\nlist_id = 'a.example'\nuser = 'erin'", []string{"exempt 0 list_id 0:0 anyone can write a List-Id"}},
		{"lone author", "[[exempt]]\nauthor = 'a.example'", []string{"exempt 0 author 0:0 anyone can write a From field"}},
		{"client and spf_of", "[[exempt]]\nclient = '*.forwarder.example'\n[[exempt]]\nspf_of = 'forwarder.example'", nil},
		{"client that is an address", "[[exempt]]\nclient = '192.0.2.1'", []string{`exempt 0 client 0:0 "192.0.2.1" is an address: use the key ip`}},
		{"client of a top-level domain", "[[exempt]]\nclient = '*.example'", []string{`exempt 0 client 0:0 "*.example" covers a whole top-level domain`}},
		{"client pattern", "[[exempt]]\nclient = 'mx*.a.example'", []string{`exempt 0 client 0:0 "mx*.a.example" is not a domain name`}},
		{"too many spf_of", strings.Repeat("[[exempt]]\nspf_of = 'NR.example'\n", 21), []string{"exempt 0  0:0 the entries name more than 20 domains in spf_of"}},
		{"override", "[[exempt]]\nspf = 'a.example'\noverride = 'forwarded'", []string{`exempt 0 override 0:0 "forwarded" is not one of local_policy, trusted_forwarder`}},
		{"why of two lines", "[[exempt]]\nspf = 'a.example'\nwhy = \"a\\nb\"", []string{"exempt 0 why 0:0 must be at most 200 characters of one line"}},
		{"expired", "[[exempt]]\nspf = 'a.example'\nuntil = 2026-10-31", []string{"warning exempt 0 until 0:0 this entry expired after 2026-10-31"}},
		{"rule without anything", "[[rule]]\nname = 'x'", []string{"rule 0  0:0 a rule needs an action", "rule 0  0:0 a rule needs an expression"}},
		{"action", "[[rule]]\nwhen = 'true'\naction = 'bounce'", []string{`rule 0 action 0:0 "bounce" is not one of accept, quarantine, reject, defer`}},
		{"syntax", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result = \"pass\"'", []string{"rule 0 when 1:14 = does not compare: write =="}},
		{"and", "[[rule]]\naction = 'accept'\nwhen = 'true and true'", []string{"rule 0 when 1:6 write && for and"}},
		{"not", "[[rule]]\naction = 'accept'\nwhen = 'not (true)'", []string{"rule 0 when 1:5 write ! for not"}},
		{"contains of a list", "[[rule]]\naction = 'accept'\nwhen = 'author.domains.contains(\"bank.test\")'", []string{"rule 0 when 1:24 a list has no contains: write"}},
		{"network as text", "[[rule]]\naction = 'accept'\nwhen = 'client.ip in \"192.0.2.0/24\"'", []string{"rule 0 when 1:11 in does not search text: for a network, write cidr("}},
		{"a result that none is", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result == \"failed\"'", []string{`warning rule 0 when 0:0 no result is "failed": results are none, pass, fail, softfail, neutral, policy, temperror, permerror; did you mean "fail"?`}},
		{"results that some are", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result == \"fail\" && spf[0].result != \"softfail\" && !dkim.exists(s, s.result == \"pass\")'", nil},
		{"open quote", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result == \"pass'", []string{"rule 0 when 1:17 the closing quote of \"pass is missing"}},
		{"too short", "[[rule]]\naction = 'accept'\nwhen = '(true'", []string{"rule 0 when 1:6 the expression ends too early"}},
		{"two values", "[[rule]]\naction = 'accept'\nwhen = 'true false'", []string{"rule 0 when 1:6 an operator such as && or == is missing before false"}},
		{"unknown variable", "[[rule]]\naction = 'accept'\nwhen = 'dmark.result == \"pass\"'", []string{`rule 0 when 1:1 there is no variable or function "dmark", did you mean "dmarc"?; the variables are arc, author`}},
		{"unknown field", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.resutl == \"pass\"'", []string{`rule 0 when 1:6 there is no field "resutl", did you mean "result"?`}},
		{"a field that only another has", "[[rule]]\naction = 'accept'\nwhen = 'size(author.domain) > 1'", []string{`rule 0 when 1:12 there is no field "domain", did you mean "domains"?`}},
		{"a field of an element", "[[rule]]\naction = 'accept'\nwhen = 'spf[0].resutl == \"pass\"'", []string{`rule 0 when 1:7 there is no field "resutl", did you mean "result"?`}},
		{"a field of something else", "[[rule]]\naction = 'accept'\nwhen = 'spf.exists(x, x.selector == \"a\")'", []string{`rule 0 when 1:16 there is no field "selector"`}},
		{"a field of a list", "[[rule]]\naction = 'accept'\nwhen = 'spf.result == \"fail\"'", []string{`rule 0 when 1:4 spf is a list: choose an element, as in spf[0].result`}},
		{"a list as text", "[[rule]]\naction = 'accept'\nwhen = 'spf == \"fail\"'", []string{"rule 0 when 1:5 == does not go with the types list of SPF, string"}},
		{"a result without quotes", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result == fail'", []string{`rule 0 when 1:17 text is written in quotes: write "fail"`}},
		{"typographic quotes", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result == “fail”'", []string{"rule 0 when 1:17 has the typographic quote “: write a plain quote"}},
		{"types", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.queries == \"2\"'", []string{"rule 0 when 1:15 == does not go with the types int, string"}},
		{"second line", "[[rule]]\naction = 'accept'\nwhen = '''true &&\n  nothing'''", []string{`rule 0 when 2:3 there is no variable or function "nothing"; the variables are`}},
		{"no truth value", "[[rule]]\naction = 'accept'\nwhen = 'dmarc.result'", []string{"rule 0 when 0:0 must be true or false, but is string"}},
		{"regular expression", "[[rule]]\naction = 'accept'\nwhen = 'client.helo.matches(\"(\")'", []string{"rule 0 when 1:21 invalid matches argument"}},
		{"network", "[[rule]]\naction = 'accept'\nwhen = 'cidr(\"192.0.2.0/40\").containsIP(client.ip)'", []string{"rule 0 when 1:6 invalid cidr argument"}},
		{"too long", "[[rule]]\naction = 'accept'\nwhen = '" + strings.Repeat("true && ", 600) + "true'", []string{"rule 0 when 0:0 is longer than 4096 octets"}},
		{"too deep", "[[rule]]\naction = 'accept'\nwhen = '" + strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300) + "'", []string{"rule 0 when 1:"}},
		{"three loops", "[[rule]]\naction = 'accept'\nwhen = 'spf.all(a, spf.all(b, spf.all(c, true)))'", []string{"rule 0 when 1:"}},
		{"all at once", "[[exempt]]\nip = 'x'\n[[exempt]]\nlist_id = 'y'\n[[rule]]\nwhen = 'x'\naction = 'y'",
			[]string{"exempt 0 ip", "exempt 1 list_id", "rule 0 action", "rule 0 when 1:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for n := 0; strings.Contains(tt.config, "NR"); n++ {
				tt.config = strings.Replace(tt.config, "NR", fmt.Sprint("d", n), 1)
			}
			var c Config
			if err := toml.Unmarshal([]byte(tt.config), &c); err != nil {
				t.Fatal(err)
			}
			set, problems := Compile(c, now)
			fatal := false
			for i, p := range problems {
				got := fmt.Sprintf("%s %d %s %d:%d %s", p.Table, p.Index, p.Key, p.Line, p.Column, p.Text)
				if p.Warning {
					got = "warning " + got
				}
				fatal = fatal || !p.Warning
				if i >= len(tt.want) || !strings.HasPrefix(got, tt.want[i]) {
					t.Errorf("problem %d = %s, want %v", i, got, tt.want)
				}
			}
			if len(problems) < len(tt.want) {
				t.Errorf("%d problems, want %q", len(problems), tt.want)
			}
			if fatal == (set != nil) {
				t.Errorf("set = %v with problems %v", set, problems)
			}
		})
	}
}

// FuzzCompile: no source makes the compiler panic, and what compiles can be evaluated
// within its bounds.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`dmarc.result == "fail" && dmarc.policy == "reject"`, `spf[0].result`, `dkim.exists(s, s.domain.within("a.test"))`,
		`cidr("192.0.2.0/24").containsIP(client.ip)`, `client.helo.matches("(a+)+$")`, `'''`, "\x00", `[1,2].map(x, [x,x].map(y, y))`, `"a" * 3`, `-9223372036854775808`,
		`list_id.contains("x") ? true : decision.action in ["reject"]`, `envelope.rcpt.filter(r, r.endsWith("@a.test")).size() > 0`,
	} {
		f.Add(seed)
	}
	r, _ := decide(f, list, "strict", ``)
	f.Fuzz(func(t *testing.T, source string) {
		set, problems := Compile(Config{Rule: []Rule{{When: source, Action: "defer"}}}, now)
		if (set == nil) == (len(problems) == 0) {
			t.Fatalf("set %v, problems %v", set, problems)
		}
		if set == nil {
			return
		}
		d := r.Decision
		set.rules[0].eval(newVerdict(r, &d))
	})
}
