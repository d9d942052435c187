package spf_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/internal/core/spfrecord"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

const zone = `$TTL 300
plain.test.        TXT "v=spf1 ip4:192.0.2.0/24 -all"
six.test.          TXT "v=spf1 ip6:2001:db8::/32 ~all"
chain.test.        TXT "v=spf1 include:inner.test ?all"
inner.test.        TXT "v=spf1 ip4:192.0.2.7 -all"
to.test.           TXT "v=spf1 redirect=plain.test"
toall.test.        TXT "v=spf1 redirect=plain.test +all"
nowhere.test.      TXT "v=spf1 redirect=missing.test"
hollow.test.       TXT "v=spf1 include:missing.test -all"
late.test.         TXT "v=spf1 +all foo:bar"
twice.test.        TXT "v=spf1 -all"
twice.test.        TXT "v=spf1 +all"
ten.test.          TXT "v=spf10 -all"
tab.test.          TXT "v=spf1\009-all"
case.test.         TXT "V=SPF1 IP4:192.0.2.1 -ALL"
split.test.        TXT "v=spf1 ip4:192" ".0.2.1 -all"
void2.test.        TXT "v=spf1 a:v1.test a:v2.test -all"
void3.test.        TXT "v=spf1 a:v1.test a:v2.test exists:v3.test -all"
mx.test.           TXT "v=spf1 mx mx:mxb.test mx:mxc.test -all"
mx.test.           MX 10 h1.test.
mx.test.           MX 20 h2.test.
mxb.test.          MX 10 h1.test.
mxc.test.          MX 10 h2.test.
h1.test.           A 192.0.2.25
h2.test.           A 192.0.2.26
noimplicit.test.   TXT "v=spf1 mx -all"
noimplicit.test.   A 192.0.2.1
down.test.         TXT "v=spf1 a:broken.test -all"
; FAULT broken.test A SERVFAIL
; FAULT silent.test TXT TIMEOUT
; FAULT 1.2.0.192.in-addr.arpa PTR SERVFAIL
ptrdown.test.      TXT "v=spf1 ptr ip4:192.0.2.1 -all"
ptr.test.          TXT "v=spf1 ptr -all"
9.2.0.192.in-addr.arpa. PTR host.ptr.test.
host.ptr.test.     A 192.0.2.9
exp.test.          TXT "v=spf1 -all exp=why.exp.test"
why.exp.test.      TXT "%{i} of %{d} may not: see http://%{d}/?s=%{S} %%%_%{c}"
expinc.test.       TXT "v=spf1 include:exp.test -all exp=own.exp.test"
own.exp.test.      TXT "own words"
expredir.test.     TXT "v=spf1 redirect=exp.test exp=own.exp.test"
exp8.test.         TXT "v=spf1 -all exp=bin.exp.test"
bin.exp.test.      TXT "\200\200"
macro.test.        TXT "v=spf1 exists:%{l1r-}.%{d2}.x.test -all"
b.macro.test.x.test. A 127.0.0.2
local.test.        TXT "v=spf1 exists:%{l}.yes.test redirect=plain.test"
*.yes.test.        A 127.0.0.2
d.test.            TXT "v=spf1 include:e.test -all"
e.test.            TXT "v=spf1 exists:%{d}.d.yes.test -all"
xn--bcher-kva.test. TXT "v=spf1 ip4:192.0.2.1 -all"
limit.test.        TXT "v=spf1 include:l1.test include:l2.test -all"
l1.test.           TXT "v=spf1 a:h1.test a:h2.test a:h1.test a:h2.test -all"
l2.test.           TXT "v=spf1 a:h1.test a:h2.test a:h1.test a:h2.test a:h1.test -all"
`

func check(t *testing.T, c *spf.Checker, ip, helo, sender string, id spf.Identity) spf.Result {
	t.Helper()
	if c.Resolver == nil {
		z, err := dnstest.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		c.Resolver = z
	}
	return c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr(ip), Helo: helo, Sender: sender, Identity: id})
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tt := range []struct {
		rule, ip, helo, sender string
		code                   spf.Code
		reason                 spf.Reason
		mechanism              string
	}{
		{"address", "192.0.2.1", "h", "a@plain.test", spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"mapped address", "::ffff:192.0.2.1", "h", "a@plain.test", spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"other address", "198.51.100.1", "h", "a@plain.test", spf.Fail, spf.Match, "all"},
		{"IPv6", "2001:db8::1", "h", "a@six.test", spf.Pass, spf.Match, "ip6:2001:db8::/32"},
		{"null path", "192.0.2.1", "plain.test", "", spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"null path, literal HELO", "192.0.2.1", "[192.0.2.1]", "", spf.None, spf.NoDomain, ""},
		{"null path, address HELO", "192.0.2.1", "192.0.2.1", "", spf.None, spf.NoDomain, ""},
		{"null path, short HELO", "192.0.2.1", "localhost", "", spf.None, spf.NoDomain, ""},
		{"long label", "192.0.2.1", "h", "a@" + long + ".test", spf.None, spf.NoDomain, ""},
		{"empty label", "192.0.2.1", "h", "a@a..test", spf.None, spf.NoDomain, ""},
		{"single label", "192.0.2.1", "h", "a@test", spf.None, spf.NoDomain, ""},
		{"NXDOMAIN", "192.0.2.1", "h", "a@missing.test", spf.None, spf.NoRecord, ""},
		{"quoted local part", "192.0.2.1", "h", `"a@b"@plain.test`, spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"source route", "192.0.2.1", "h", `@x.test:a@plain.test`, spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"U-label", "192.0.2.1", "h", "a@bücher.test", spf.Pass, spf.Match, "ip4:192.0.2.1"},
		{"timeout", "192.0.2.1", "h", "a@silent.test", spf.TempError, spf.DNSFailure, ""},
		{"two records", "192.0.2.1", "h", "a@twice.test", spf.PermError, spf.MultipleRecords, ""},
		{"other version", "192.0.2.1", "h", "a@ten.test", spf.None, spf.NoRecord, ""},
		{"tab", "192.0.2.1", "h", "a@tab.test", spf.None, spf.NoRecord, ""},
		{"case", "192.0.2.1", "h", "a@case.test", spf.Pass, spf.Match, "IP4:192.0.2.1"},
		{"strings", "192.0.2.1", "h", "a@split.test", spf.Pass, spf.Match, "ip4:192.0.2.1"},
		{"late error", "192.0.2.1", "h", "a@late.test", spf.PermError, spf.UnknownMechanism, ""},
		{"limit", "203.0.113.1", "h", "a@limit.test", spf.PermError, spf.TooManyLookups, ""},
		{"two voids", "192.0.2.1", "h", "a@void2.test", spf.Fail, spf.Match, "all"},
		{"three voids", "192.0.2.1", "h", "a@void3.test", spf.PermError, spf.TooManyVoids, ""},
		{"mx of one family", "2001:db8::1", "h", "a@mx.test", spf.Fail, spf.Match, "all"},
		{"SERVFAIL", "192.0.2.1", "h", "a@down.test", spf.TempError, spf.DNSFailure, ""},
		{"PTR failure", "192.0.2.1", "h", "a@ptrdown.test", spf.Pass, spf.Match, "ip4:192.0.2.1"},
		{"include", "192.0.2.7", "h", "a@chain.test", spf.Pass, spf.Match, "ip4:192.0.2.7"},
		{"include of a fail", "192.0.2.8", "h", "a@chain.test", spf.Neutral, spf.Match, "all"},
		{"include of nothing", "192.0.2.8", "h", "a@hollow.test", spf.PermError, spf.IncludeNoRecord, ""},
		{"redirect", "192.0.2.8", "h", "a@to.test", spf.Pass, spf.Match, "ip4:192.0.2.0/24"},
		{"redirect and all", "198.51.100.1", "h", "a@toall.test", spf.Pass, spf.Match, "all"},
		{"redirect to nothing", "192.0.2.8", "h", "a@nowhere.test", spf.PermError, spf.RedirectNoRecord, ""},
		{"mx", "192.0.2.26", "h", "a@mx.test", spf.Pass, spf.Match, "mx"},
		{"no implicit MX", "192.0.2.1", "h", "a@noimplicit.test", spf.Fail, spf.Match, "all"},
		{"ptr", "192.0.2.9", "h", "a@ptr.test", spf.Pass, spf.Match, "ptr"},
		{"transformers", "192.0.2.1", "h", "a-b@macro.test", spf.Fail, spf.Match, "all"},
		{"reversed", "192.0.2.1", "h", "b-a@macro.test", spf.Pass, spf.Match, "exists:%{l1r-}.%{d2}.x.test"},
		{"%{d} in recursion", "192.0.2.1", "h", "a@d.test", spf.Pass, spf.Match, "exists:%{d}.d.yes.test"},
		{"local part", "198.51.100.1", "h", "a@local.test", spf.Pass, spf.Match, "exists:%{l}.yes.test"},
		{"non-ASCII local part", "198.51.100.1", "h", "ä@local.test", spf.Fail, spf.Match, "all"},
	} {
		r := check(t, &spf.Checker{}, tt.ip, tt.helo, tt.sender, spf.MailFrom)
		if r.Code != tt.code || r.Reason != tt.reason || r.Mechanism != tt.mechanism {
			t.Errorf("%s: %s: got %s %s %q (%s), want %s %s %q", tt.rule, tt.sender, r.Code, r.Reason, r.Mechanism, r.Problem, tt.code, tt.reason, tt.mechanism)
		}
	}
}

func TestHeloIdentity(t *testing.T) {
	r := check(t, &spf.Checker{}, "192.0.2.1", "plain.test", "a@six.test", spf.Helo)
	if r.Code != spf.Pass || r.Domain != "plain.test" || r.Identity != spf.Helo {
		t.Errorf("got %+v", r)
	}
}

func TestPathAndSpending(t *testing.T) {
	r := check(t, &spf.Checker{}, "203.0.113.1", "h", "a@limit.test", spf.MailFrom)
	if r.Lookups != 10 || len(r.Spent) != 10 {
		t.Errorf("got %d lookups, %d spent, want 10", r.Lookups, len(r.Spent))
	}
	if got, want := r.Path, []string{"limit.test", "l2.test"}; !slices.Equal(got, want) {
		t.Errorf("path: got %q, want %q", got, want)
	}
	r = check(t, &spf.Checker{}, "192.0.2.7", "h", "a@Chain.TEST", spf.MailFrom)
	if got, want := r.Path, []string{"chain.test", "inner.test"}; !slices.Equal(got, want) {
		t.Errorf("path: got %q, want %q", got, want)
	}
}

func TestLimitsAreConfigurable(t *testing.T) {
	c := spf.Checker{Limits: spf.Limits{VoidLookups: 3}}
	if r := check(t, &c, "192.0.2.1", "h", "a@void3.test", spf.MailFrom); r.Code != spf.Fail {
		t.Errorf("three voids allowed: got %s", r.Code)
	}
	c = spf.Checker{Limits: spf.Limits{VoidLookups: -1}}
	if r := check(t, &c, "192.0.2.1", "h", "a@void2.test", spf.MailFrom); r.Reason != spf.TooManyVoids || r.VoidLookups != 1 {
		t.Errorf("no void allowed: got %s", r.Reason)
	}
}

func TestExplanation(t *testing.T) {
	for _, tt := range []struct{ rule, sender, want string }{
		{"macros", "a@exp.test", "192.0.2.1 of exp.test may not: see http://exp.test/?s=a%40exp.test % 192.0.2.1"},
		{"included exp is never used", "a@expinc.test", "own words"},
		{"redirect uses the target's", "a@expredir.test", "192.0.2.1 of exp.test may not: see http://exp.test/?s=a%40expredir.test % 192.0.2.1"},
		{"not ASCII", "a@exp8.test", ""},
		{"no exp", "a@twice.test", ""},
		{"local part cannot inject", "a\r\nb@exp.test", "192.0.2.1 of exp.test may not: see http://exp.test/?s=a%0D%0Ab%40exp.test % 192.0.2.1"},
	} {
		if r := check(t, &spf.Checker{}, "192.0.2.1", "h", tt.sender, spf.MailFrom); r.Explanation != tt.want {
			t.Errorf("%s: got %q, want %q", tt.rule, r.Explanation, tt.want)
		}
	}
}

func TestCacheable(t *testing.T) {
	for sender, want := range map[string]bool{"a@plain.test": true, "a@chain.test": true, "a@local.test": false, "a@silent.test": false} {
		r := check(t, &spf.Checker{}, "192.0.2.1", "h", sender, spf.MailFrom)
		if r.Cacheable != want {
			t.Errorf("%s: got %v, want %v", sender, r.Cacheable, want)
		}
		if want && r.TTL != 300*time.Second {
			t.Errorf("%s: TTL: got %v, want 300 s", sender, r.TTL)
		}
	}
}

type slow struct{}

func (slow) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	<-ctx.Done()
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
}

func TestTimeLimit(t *testing.T) {
	c := spf.Checker{Resolver: slow{}, Limits: spf.Limits{Time: time.Millisecond}}
	if r := check(t, &c, "192.0.2.1", "h", "a@plain.test", spf.MailFrom); r.Code != spf.TempError || r.Reason != spf.TimeLimit {
		t.Errorf("got %s %s", r.Code, r.Reason)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		record string
		reason spf.Reason
		offset int
	}{
		{"v=spf1 ip4:192.0.2.1/33", spf.BadPrefix, 21},
		{"v=spf1 ip4:192.0.2.1/032", spf.BadPrefix, 21},
		{"v=spf1 ip4:192.0.2.1/", spf.BadPrefix, 21},
		{"v=spf1 ip4:192.0.2", spf.BadAddress, 11},
		{"v=spf1 ip4:192.0.02.1", spf.BadAddress, 11},
		{"v=spf1 ip4:2001:db8::", spf.BadAddress, 11},
		{"v=spf1 ip6:192.0.2.1", spf.BadAddress, 11},
		{"v=spf1 ip6:2001:db8::/129", spf.BadPrefix, 22},
		{"v=spf1 ip6:fe80::1%eth0", spf.BadAddress, 11},
		{"v=spf1 ip4", spf.BadAddress, 10},
		{"v=spf1 all:x.test", spf.BadTerm, 10},
		{"v=spf1 a/33", spf.BadPrefix, 9},
		{"v=spf1 a//129", spf.BadPrefix, 10},
		{"v=spf1 a/", spf.BadPrefix, 8},
		{"v=spf1 a:", spf.BadDomainSpec, 9},
		{"v=spf1 a:test", spf.BadDomainSpec, 9},
		{"v=spf1 a:x.123", spf.BadDomainSpec, 9},
		{"v=spf1 a:x.te-", spf.BadDomainSpec, 9},
		{"v=spf1 include", spf.BadDomainSpec, 14},
		{"v=spf1 include:x.test/24", spf.BadDomainSpec, 15},
		{"v=spf1 ptr/24", spf.BadDomainSpec, 10},
		{"v=spf1 exists:%{x}", spf.BadMacro, 14},
		{"v=spf1 exists:%{c}.x.test", spf.BadMacro, 14},
		{"v=spf1 exists:%{d0}.x.test", spf.BadMacro, 14},
		{"v=spf1 exists:%{d", spf.BadMacro, 14},
		{"v=spf1 exists:%{d!}.x.test", spf.BadMacro, 14},
		{"v=spf1 exists:%d.x.test", spf.BadMacro, 14},
		{"v=spf1 exists:x.test%", spf.BadMacro, 20},
		{"v=spf1 redirect=x.test redirect=y.test", spf.DuplicateModifier, 23},
		{"v=spf1 exp=x.test EXP=y.test", spf.DuplicateModifier, 18},
		{"v=spf1 redirect=", spf.BadDomainSpec, 16},
		{"v=spf1 foo=%x", spf.BadMacro, 11},
		{"v=spf1 foo", spf.UnknownMechanism, 7},
		{"v=spf1 -foo=bar", spf.UnknownMechanism, 7},
		{"v=spf1 -", spf.UnknownMechanism, 7},
		{"v=spf1 ip4:192.0.2.1\t-all", spf.BadAddress, 11},
		{"v=spf1 a:b\xff.test", spf.BadMacro, 10},
	} {
		_, err := spfrecord.Parse(tt.record)
		e, ok := err.(*spfrecord.SyntaxError)
		if !ok || spf.Reason(e.Reason) != tt.reason || e.Offset != tt.offset {
			t.Errorf("%q: got %v, want %s at %d", tt.record, err, tt.reason, tt.offset)
		}
	}
}

func TestParseValid(t *testing.T) {
	for _, s := range []string{
		"v=spf1", "v=spf1 ", "v=spf1  -all  ", "v=spf1 a//64 mx/24//0 a:x.test/0", "v=spf1 a:foo:bar/baz.x.test -all",
		"v=spf1 a:%{d}/24", "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d}", "v=spf1 foo=%{c} bar=", "v=spf1 a:x.test. -all",
		"v=spf1 exists:x%%", "v=spf1 ip4=1.2.3.4 -all", "v=spf1 exists:%{d127r.-+,/_=}", "v=spf1 unknown-mod.x_1=a -all",
	} {
		if _, err := spfrecord.Parse(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestReceivedSPF(t *testing.T) {
	c := &spf.Checker{}
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Helo: "h\r\nX: y", Sender: "\"a\\\"\x00\"@plain.test", Identity: spf.MailFrom}
	z, _ := dnstest.Parse(zone)
	c.Resolver = z
	got := c.Check(t.Context(), q).ReceivedSPF(q, "mx.test")
	want := " pass (plain.test designates 192.0.2.1 as permitted sender)\r\n\t" +
		`identity=mailfrom; client-ip=192.0.2.1;` + "\r\n\t" +
		`envelope-from="\"a\\\"?\"@plain.test"; helo="h??X: y";` + "\r\n\t" +
		`mechanism="ip4:192.0.2.0/24"; receiver=mx.test`
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestLint(t *testing.T) {
	for record, want := range map[string]string{
		"v=spf1 ip4:192.0.2.1 -all":      "",
		"v=spf1 +all":                    "spf.all-permissive",
		"v=spf1 ptr -all":                "spf.ptr",
		"v=spf1 ip4:203.0.0.0/16 -all":   "spf.cidr-wide",
		"v=spf1 ip4:203.0.0.0/17 -all":   "",
		"v=spf1 ip6:2001:db8::/32 -all":  "spf.cidr-wide",
		"v=spf1 -ip4:203.0.0.0/8 ~all":   "",
		"v=spf1 ip4:10.1.0.0/24 -all":    "spf.private-range",
		"v=spf1 ?all":                    "spf.all-neutral",
		"v=spf1 a A -all":                "spf.duplicate",
		"v=spf1 include=x.test -all":     "spf.typo",
		"v=spf1 x-note=y -all":           "spf.unknown-modifier",
		"v=spf1 exists:%{l}.x.test -all": "spf.sender-macro",
		"v=spf1 exists:%{i}.x.test -all": "",
		"v=spf1 a":                       "spf.all-missing",
		"v=spf1 -all a":                  "spf.after-all",
		"v=spf1 redirect=x.test -all":    "spf.redirect-unused",
		"v=spf1 foo -all":                "spf.syntax",
		"v=spf1 a mx a:a.t mx:a.t a:b.t mx:b.t a:c.t mx:c.t a:d.t a:e.t a:f.t -all": "spf.lookup-limit",
		"v=spf1 a mx a:a.t mx:a.t a:b.t mx:b.t a:c.t mx:c.t a:d.t a:e.t -all a":     "spf.after-all",
	} {
		var ids []string
		for _, p := range spf.Lint(record) {
			ids = append(ids, p.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%q: got %q, want %q", record, got, want)
		}
	}
}

func TestLintFix(t *testing.T) {
	for record, want := range map[string]string{
		"v=spf1 include:x.test~all":   "put a space before ~all",
		"v=spf1 ipv4:192.0.2.1 -all":  "did you mean ip4:?",
		"v=spf1 redirect:x.test":      "did you mean redirect=?",
		"v=spf1 ip4:192.0.2.256 -all": "correct or remove this term: receivers answer permerror",
	} {
		p := spf.Lint(record)
		if len(p) != 1 || p[0].ID != "spf.syntax" {
			t.Errorf("%q: got %+v", record, p)
			continue
		}
		if got := p[0].Fix; got != want {
			t.Errorf("%q: got %q, want %q", record, got, want)
		}
	}
}

// FuzzCheck: nothing that a record, a sender or a HELO name says may panic, run on, or
// reach Received-SPF unquoted.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 include:%{d2}.x.test a:%{l1r-}.test mx/24//64 exp=%{h}.test -all", "a-b@x.test", "h.test")
	f.Add("v=spf1 redirect=fuzz.test", "@", "")
	f.Add("v=spf1 exists:%{p}.%{s}.%{ir}.test ?all", "\"a@b\"@fuzz.test", "[::1]")
	f.Fuzz(func(t *testing.T, record, sender, helo string) {
		r := recordResolver{record}
		c := spf.Checker{Resolver: r}
		q := spf.Request{IP: netip.MustParseAddr("2001:db8::1"), Helo: helo, Sender: sender}
		got := c.Check(t.Context(), q)
		if got.Code == "" || got.Reason == "" || got.Lookups > 10 {
			t.Errorf("got %+v", got)
		}
		field := strings.ReplaceAll(got.ReceivedSPF(q, "mx.test"), "\r\n\t", "")
		for i := range len(field) {
			if field[i] < 0x20 || field[i] > 0x7e {
				t.Fatalf("octet %#x in %q", field[i], field)
			}
		}
	})
}

type recordResolver struct{ record string }

func (r recordResolver) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	switch t {
	case resolver.TXT:
		return resolver.Answer{Records: []resolver.RR{{Text: r.record}}}, nil
	case resolver.MX, resolver.PTR:
		return resolver.Answer{Records: []resolver.RR{{Target: "a.test"}, {Target: ""}}}, nil
	}
	return resolver.Answer{Records: []resolver.RR{{Addr: netip.MustParseAddr("192.0.2.1")}}}, nil
}

// FuzzParse: no record panics, and there is a record or an error with its place.
func FuzzParse(f *testing.F) {
	f.Add("v=spf1 a:foo/24//64 ip6:::/0 %{d} exp=x")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := spfrecord.Parse(s)
		if e, ok := err.(*spfrecord.SyntaxError); ok && (e.Offset < 0 || e.Offset > len(s)) {
			t.Errorf("offset %d of %d", e.Offset, len(s))
		}
		if r == nil && err == nil {
			t.Error("neither a record nor an error")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		b.Fatal(err)
	}
	c := spf.Checker{Resolver: z}
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.7"), Helo: "h.test", Sender: "a@chain.test"}
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Check(b.Context(), q); r.Code != spf.Pass {
			b.Fatal(r)
		}
	}
}

// BenchmarkWarm: five includes with 42 ip terms, every answer in the cache.
func BenchmarkWarm(b *testing.B) {
	var text strings.Builder
	text.WriteString("e.test. TXT \"v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/48 include:_a.e.test include:_b.e.test include:_c.e.test include:_d.e.test include:_e.e.test -all\"\n")
	for i, name := range []string{"_a", "_b", "_c", "_d", "_e"} {
		fmt.Fprintf(&text, "%s.e.test. TXT \"v=spf1", name)
		for j := range 8 {
			fmt.Fprintf(&text, " ip4:203.0.%d.%d/30", i, 4*j)
		}
		text.WriteString(" ~all\"\n")
	}
	z, err := dnstest.Parse(text.String())
	if err != nil {
		b.Fatal(err)
	}
	c := spf.Checker{Resolver: resolver.NewCache(z, resolver.CacheOptions{})}
	q := spf.Request{IP: netip.MustParseAddr("203.0.4.30"), Helo: "h.test", Sender: "a@e.test"}
	if r := c.Check(b.Context(), q); r.Code != spf.Pass || r.Lookups != 5 {
		b.Fatal(r)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Check(b.Context(), q); r.Code != spf.Pass {
			b.Fatal(r)
		}
	}
}
