package spf_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// repeat writes format n times with 1 to n.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestLimits: RFC 7208 §4.6.4, each limit at its edge and one above.
func TestLimits(t *testing.T) {
	hosts := repeat(12, "h%[1]d.test. A 192.0.2.%[1]d\n") + "far.test. A 198.51.100.1\n"
	deep := func(n int) string { // a chain of n includes
		z := "r.test. TXT \"v=spf1 include:i1.test -all\"\n"
		for i := 1; i < n; i++ {
			z += fmt.Sprintf("i%d.test. TXT \"v=spf1 include:i%d.test -all\"\n", i, i+1)
		}
		return z + fmt.Sprintf("i%d.test. TXT \"v=spf1 ip4:192.0.2.99 -all\"\n", n)
	}
	for _, tt := range []struct {
		name, zone string
		code       spf.Code
		reason     spf.Reason
		lookups    int
		voids      int
	}{
		{"10 terms", `r.test. TXT "v=spf1` + repeat(10, " a:h%d.test") + ` ip4:192.0.2.99 -all"`, spf.Pass, spf.Match, 10, 0},
		{"11 terms", `r.test. TXT "v=spf1` + repeat(11, " a:h%d.test") + ` ip4:192.0.2.99 -all"`, spf.PermError, spf.TooManyLookups, 10, 0},
		{"11 terms, the first matches", `r.test. TXT "v=spf1 exists:h1.test` + repeat(11, " a:h%d.test") + ` -all"`, spf.Pass, spf.Match, 1, 0},
		{"11th term after a match", `r.test. TXT "v=spf1` + repeat(10, " a:h%d.test") + ` +all a:h11.test"`, spf.Pass, spf.Match, 10, 0},
		{"terms without lookups", `r.test. TXT "v=spf1` + repeat(40, " ip4:198.51.100.%d ip6:2001:db8::%[1]d") + ` ?all"`, spf.Neutral, spf.Match, 0, 0},
		{"exp costs nothing", `r.test. TXT "v=spf1` + repeat(10, " a:h%d.test") + ` -all exp=x.test"` + "\nx.test. TXT why", spf.Fail, spf.Match, 10, 0},
		{"redirect is the 10th", `r.test. TXT "v=spf1` + repeat(9, " a:h%d.test") + ` redirect=x.test"` + "\nx.test. TXT \"v=spf1 ip4:192.0.2.99\"", spf.Pass, spf.Match, 10, 0},
		{"redirect is the 11th", `r.test. TXT "v=spf1` + repeat(10, " a:h%d.test") + ` redirect=x.test"` + "\nx.test. TXT \"v=spf1 ip4:192.0.2.99\"", spf.PermError, spf.TooManyLookups, 10, 0},
		{"10 includes deep", deep(10), spf.Pass, spf.Match, 10, 0},
		{"11 includes deep", deep(11), spf.PermError, spf.TooManyLookups, 10, 0},
		{"include of itself", `r.test. TXT "v=spf1 include:r.test -all"`, spf.PermError, spf.TooManyLookups, 10, 0},
		{"redirect to itself", `r.test. TXT "v=spf1 redirect=r.test"`, spf.PermError, spf.TooManyLookups, 10, 0},
		{"lookups of an include that did not match stay spent", `r.test. TXT "v=spf1 include:x.test` + repeat(5, " a:h%d.test") + ` -all"` + "\n" +
			`x.test. TXT "v=spf1` + repeat(5, " a:h%d.test") + ` -all"`, spf.PermError, spf.TooManyLookups, 10, 0},
		{"an mx costs one whatever its hosts", `r.test. TXT "v=spf1 mx mx:r.test -all"` + "\n" + repeat(10, "r.test. MX %[1]d h%[1]d.test.\n"), spf.Fail, spf.Match, 2, 0},
		{"11 MX", `r.test. TXT "v=spf1 mx ip4:192.0.2.99 -all"` + "\n" + repeat(11, "r.test. MX %[1]d h%[1]d.test.\n"), spf.PermError, spf.TooManyMX, 1, 0},
		{"11 MX, the first matches", `r.test. TXT "v=spf1 mx -all"` + "\nm.test. A 192.0.2.99\nr.test. MX 0 m.test.\n" + repeat(10, "r.test. MX %[1]d h%[1]d.test.\n"), spf.Pass, spf.Match, 1, 0},
		{"11 MX, the last matches", `r.test. TXT "v=spf1 mx -all"` + "\nm.test. A 192.0.2.99\nr.test. MX 11 m.test.\n" + repeat(10, "r.test. MX %[1]d h%[1]d.test.\n"), spf.PermError, spf.TooManyMX, 1, 0},
		{"11 MX of one preference, the first name matches", `r.test. TXT "v=spf1 mx -all"` + "\na.test. A 192.0.2.99\n" + repeat(10, "r.test. MX 5 h%[1]d.test.\n") + "r.test. MX 5 a.test.\n", spf.Pass, spf.Match, 1, 0},
		{"11 MX, one host twice", `r.test. TXT "v=spf1 mx -all"` + "\nm.test. A 192.0.2.99\n" + repeat(9, "r.test. MX 1 h%[1]d.test.\n") + "r.test. MX 2 h1.test.\nr.test. MX 3 m.test.\n", spf.PermError, spf.TooManyMX, 1, 0},
		{"2 void lookups", `r.test. TXT "v=spf1 a:n1.test mx:n2.test a:h1.test ip4:192.0.2.99 -all"`, spf.Pass, spf.Match, 3, 2},
		{"3 void lookups", `r.test. TXT "v=spf1 a:n1.test mx:n2.test exists:n3.test ip4:192.0.2.99 -all"`, spf.PermError, spf.TooManyVoids, 3, 3},
		{"NODATA is void", `r.test. TXT "v=spf1 mx:h1.test mx:h2.test mx:h3.test ip4:192.0.2.99 -all"`, spf.PermError, spf.TooManyVoids, 3, 3},
		{"void for the family of the client alone", `r.test. TXT "v=spf1` + repeat(5, " a:six%d.test") + ` ip4:192.0.2.99 -all"` + repeat(5, "\nsix%d.test. AAAA 2001:db8::1"), spf.Pass, spf.Match, 5, 2},
		{"void for both families", `r.test. TXT "v=spf1` + repeat(3, " a:six%d.test") + ` a:t.test ip4:192.0.2.99 -all"` + repeat(3, "\nsix%d.test. AAAA 2001:db8::1") + "\nt.test. TXT x", spf.PermError, spf.TooManyVoids, 4, 3},
		{"void, and the other family cannot be looked up", `r.test. TXT "v=spf1 a:n1.test a:n2.test a:t.test -all"` + "\nt.test. TXT x\n; FAULT t.test AAAA SERVFAIL", spf.TempError, spf.DNSFailure, 3, 2},
		{"ptr is void", `r.test. TXT "v=spf1 ptr a:n1.test a:n2.test ip4:192.0.2.99 -all"`, spf.PermError, spf.TooManyVoids, 3, 3},
		{"a redirect's target may use what is left", `r.test. TXT "v=spf1 a:n1.test a:n2.test redirect=x.test"` + "\n" + `x.test. TXT "v=spf1 a:n3.test -all"`, spf.PermError, spf.TooManyVoids, 4, 3},
		{"MX hosts without an address", `r.test. TXT "v=spf1 mx a:n1.test a:n2.test ip4:192.0.2.99 -all"` + "\n" + repeat(3, "r.test. MX %[1]d n%[1]d.test.\n"), spf.Pass, spf.Match, 3, 2},
	} {
		r := check(t, zoneChecker(t, tt.zone+"\n"+hosts), "192.0.2.99", "h.test", "a@r.test", spf.MailFrom)
		if r.Code != tt.code || r.Reason != tt.reason || r.Lookups != tt.lookups || r.VoidLookups != tt.voids {
			t.Errorf("%s: got %s %s, %d lookups, %d void (%s); want %s %s, %d, %d", tt.name, r.Code, r.Reason, r.Lookups, r.VoidLookups, r.Problem,
				tt.code, tt.reason, tt.lookups, tt.voids)
		}
		if len(r.Spent) != r.Lookups {
			t.Errorf("%s: %d spent", tt.name, len(r.Spent))
		}
	}
}

// TestPTRNames: of the names of an address the first ten count, for ptr and for %{p} (RFC
// 7208 §4.6.4, §5.5, §7.3).
func TestPTRNames(t *testing.T) {
	for _, tt := range []struct {
		name, zone string
		want       spf.Code
	}{
		{"10th name", repeat(9, "9.2.0.192.in-addr.arpa. PTR n%d.other.test.\n") + "9.2.0.192.in-addr.arpa. PTR good.p.test.\n", spf.Pass},
		{"11th name", repeat(10, "9.2.0.192.in-addr.arpa. PTR n%d.other.test.\n") + "9.2.0.192.in-addr.arpa. PTR good.p.test.\n", spf.Fail},
		{"name that fails to resolve", "9.2.0.192.in-addr.arpa. PTR bad.p.test.\n9.2.0.192.in-addr.arpa. PTR good.p.test.\n; FAULT bad.p.test A SERVFAIL\n", spf.Pass},
		{"name of another address", "9.2.0.192.in-addr.arpa. PTR away.p.test.\naway.p.test. A 192.0.2.8\n", spf.Fail},
		{"the domain itself", "9.2.0.192.in-addr.arpa. PTR p.test.\np.test. A 192.0.2.9\n", spf.Pass},
		{"suffix that is no label", "9.2.0.192.in-addr.arpa. PTR evilp.test.\nevilp.test. A 192.0.2.9\n", spf.Fail},
		{"reverse zone is down", "; FAULT 9.2.0.192.in-addr.arpa PTR SERVFAIL\n", spf.Fail},
		{"reverse zone is silent", "; FAULT 9.2.0.192.in-addr.arpa PTR TIMEOUT\n", spf.Fail},
	} {
		for _, record := range []string{"v=spf1 ptr -all", "v=spf1 exists:%{p}.ok.test -all"} {
			zone := "good.p.test. A 192.0.2.9\n*.p.test.ok.test. A 127.0.0.2\np.test.ok.test. A 127.0.0.2\np.test. TXT \"" + record + "\"\n" + tt.zone
			if r := check(t, zoneChecker(t, zone), "192.0.2.9", "h.test", "a@p.test", spf.MailFrom); r.Code != tt.want {
				t.Errorf("%s, %s: got %s (%s), want %s", tt.name, record, r.Code, r.Problem, tt.want)
			}
		}
	}
}

// TestMacroPTRIsNoTerm: ten terms may name %{p} (RFC 7208 §4.6.4).
func TestMacroPTRIsNoTerm(t *testing.T) {
	const zone = "9.2.0.192.in-addr.arpa. PTR x.other.test.\nx.other.test. A 192.0.2.9\nx.other.test.p.test. A 192.0.2.8\n"
	for terms, want := range map[int]spf.Code{10: spf.Fail, 11: spf.PermError} {
		c := zoneChecker(t, zone+"p.test. TXT \"v=spf1 "+strings.Repeat("a:%{p}.p.test ", terms)+"-all\"\n")
		if r := check(t, c, "192.0.2.9", "h.test", "a@p.test", spf.MailFrom); r.Code != want || r.Lookups != 10 {
			t.Errorf("%d terms: got %s after %d lookups (%s), want %s", terms, r.Code, r.Lookups, r.Problem, want)
		}
	}
}

// TestPreferredName: %{p} is the domain, else a name below it, else any (RFC 7208 §7.3).
func TestPreferredName(t *testing.T) {
	const any, below, itself = "9.2.0.192.in-addr.arpa. PTR x.other.test.\nx.other.test. A 192.0.2.9\n",
		"9.2.0.192.in-addr.arpa. PTR x.p.test.\nx.p.test. A 192.0.2.9\n", "9.2.0.192.in-addr.arpa. PTR p.test.\np.test. A 192.0.2.9\n"
	for zone, want := range map[string]string{any: "x.other.test", any + below: "x.p.test", below + itself + any: "p.test", "": "unknown"} {
		c := zoneChecker(t, zone+"p.test. TXT \"v=spf1 -all exp=e.test\"\ne.test. TXT \"%{p}\"\n")
		if r := check(t, c, "192.0.2.9", "h.test", "a@P.test", spf.MailFrom); r.Explanation != want {
			t.Errorf("%q: got %q, want %q", zone, r.Explanation, want)
		}
	}
}

// asked records the questions that reach a zone.
type asked struct {
	resolver.Resolver
	mu   sync.Mutex
	seen []string
}

func (a *asked) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a.mu.Lock()
	a.seen = append(a.seen, t.String()+" "+name)
	a.mu.Unlock()
	return a.Resolver.Lookup(ctx, name, t)
}

// TestQuestions: TXT and never type 99 (RFC 7208 §3.1), A for IPv4 and AAAA for IPv6
// clients (§5.3, §5.4), but A alone for exists (§5.7).
func TestQuestions(t *testing.T) {
	zone := `q.test. TXT "v=spf1 a mx exists:e.test ptr -all"
q.test. MX 10 m.test.
m.test. A 192.0.2.200
m.test. AAAA 2001:db8::200
`
	for ip, want := range map[string]string{
		"192.0.2.1":   "TXT q.test, A q.test, MX q.test, A m.test, A e.test, PTR 1.2.0.192.in-addr.arpa",
		"2001:db8::1": "TXT q.test, AAAA q.test, MX q.test, AAAA m.test, A e.test, PTR 1." + strings.Repeat("0.", 23) + "8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		z, err := dnstest.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		a := &asked{Resolver: z}
		c := &spf.Checker{Resolver: a, Limits: spf.Limits{VoidLookups: 10}}
		check(t, c, ip, "h.test", "a@q.test", spf.MailFrom)
		if got := strings.Join(a.seen, ", "); got != want {
			t.Errorf("%s: asked %s, want %s", ip, got, want)
		}
	}
}

// lagging answers from a zone after a delay.
type lagging struct {
	resolver.Resolver
	delay time.Duration
}

func (l lagging) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-time.After(l.delay):
		return l.Resolver.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}

// TestDefaultTimeLimit: a check may take 20 s and no longer (RFC 7208 §4.6.4); a caller's
// own deadline holds too.
func TestDefaultTimeLimit(t *testing.T) {
	c := zoneChecker(t, `t.test. TXT "v=spf1 a:h1.test a:h2.test ip4:192.0.2.1 -all"`+"\nh1.test. A 192.0.2.2\nh2.test. A 192.0.2.3\n")
	zone := c.Resolver
	for _, tt := range []struct {
		delay, deadline time.Duration
		code            spf.Code
		took            time.Duration
	}{
		{6 * time.Second, time.Hour, spf.Pass, 18 * time.Second},
		{7 * time.Second, time.Hour, spf.TempError, 20 * time.Second},
		{6 * time.Second, 10 * time.Second, spf.TempError, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &spf.Checker{Resolver: lagging{zone, tt.delay}}
			ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
			defer cancel()
			start := time.Now()
			r := c.Check(ctx, spf.Request{IP: address("192.0.2.1"), Sender: "a@t.test"})
			if took := time.Since(start); r.Code != tt.code || took != tt.took || tt.code == spf.TempError && r.Reason != spf.TimeLimit {
				t.Errorf("%v a question: got %s %s after %v, want %s after %v", tt.delay, r.Code, r.Reason, took, tt.code, tt.took)
			}
		})
	}
}

// TestRecordBytes: a record may be long, but not without bound.
func TestRecordBytes(t *testing.T) {
	for n, want := range map[int]spf.Code{100: spf.Pass, 500: spf.PermError} {
		record := "v=spf1" + strings.Repeat(" ip4:198.51.100.0/24", n) + " ip4:192.0.2.1 -all"
		c := zoneChecker(t, `b.test. TXT "`+strings.Join(chunks(record), `" "`)+`"`)
		if r := check(t, c, "192.0.2.1", "h.test", "a@b.test", spf.MailFrom); r.Code != want {
			t.Errorf("%d octets: got %s %s, want %s", len(record), r.Code, r.Reason, want)
		}
	}
}

func address(s string) netip.Addr { return netip.MustParseAddr(s) }
