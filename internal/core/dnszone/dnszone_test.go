package dnszone_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
	"postseal/resolver/stub"
)

const zoneText = `$ORIGIN e.test.
$TTL 300
@        IN SOA ns.e.test. root.e.test. 1 3600 600 86400 120
@        IN MX 10 MX1.E.test.
@        IN MX 20 mx2.e.test.
@        IN TXT "v=spf1 " "include:\"x\" \255\000-all"
mx1      60 IN A 192.0.2.1
mx1      90 IN A 192.0.2.2
mx1      IN AAAA 2001:db8::1
alias    30 IN CNAME alias2
alias2   40 IN CNAME mx1
dangling IN CNAME nothing.e.test.
outside  IN CNAME host.other.test.
loop     IN CNAME loop2
loop2    IN CNAME loop
a.b.deep IN A 192.0.2.3
*.wild   IN TXT "wildcard"
x.y.wild IN TXT "below"
servfail IN A 192.0.2.4
tobad    IN CNAME bogus
tlsa     IN TLSA 3 1 1 abcdef
1.2.0.192.in-addr.arpa. IN PTR Mx1.e.test.
\200\032x IN TXT "raw"
; FAULT servfail.e.test A SERVFAIL
; FAULT bogus.e.test ANY BOGUS
; FAULT refused.e.test. ANY REFUSED
; FAULT timeout.e.test TXT TIMEOUT
; SECURE alias.e.test
; SECURE mx1.e.test
`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, text ...string) *dnszone.Zone {
	t.Helper()
	z, err := dnszone.Parse(text...)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

type lookup struct {
	name string
	t    resolver.Type
	want resolver.Answer
	kind resolver.Kind
}

func texts(s ...string) []resolver.RR {
	rr := resolver.RR{Text: strings.Join(s, "")}
	for _, p := range s {
		rr.Strings = append(rr.Strings, len(p))
	}
	return []resolver.RR{rr}
}

var lookups = []lookup{
	{name: "e.test", t: resolver.TXT, want: resolver.Answer{Records: texts("v=spf1 ", "include:\"x\" \xff\x00-all"), Canonical: "e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "E.Test.", t: resolver.MX, want: resolver.Answer{Records: []resolver.RR{{Target: "mx1.e.test", Preference: 10}, {Target: "mx2.e.test", Preference: 20}},
		Canonical: "e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "1.2.0.192.in-addr.arpa", t: resolver.PTR, want: resolver.Answer{Records: []resolver.RR{{Target: "mx1.e.test"}}, Canonical: "1.2.0.192.in-addr.arpa", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "\xc8 x.e.test", t: resolver.TXT, want: resolver.Answer{Records: texts("raw"), Canonical: "\xc8 x.e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "loop2.e.test", t: resolver.CNAME, want: resolver.Answer{Records: []resolver.RR{{Target: "loop.e.test"}}, Canonical: "loop2.e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "tlsa.e.test", t: resolver.TLSA, want: resolver.Answer{Records: []resolver.RR{{Data: []byte{3, 1, 1, 0xab, 0xcd, 0xef}}}, Canonical: "tlsa.e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	// Chains: the least TTL, the owner at the end, secure only if all of it is.
	{name: "alias.e.test", t: resolver.AAAA, want: resolver.Answer{Records: []resolver.RR{{Addr: addr("2001:db8::1")}}, Canonical: "mx1.e.test", TTL: 30 * time.Second, Security: resolver.Insecure}},
	{name: "mx1.e.test", t: resolver.A, want: resolver.Answer{Records: []resolver.RR{{Addr: addr("192.0.2.1")}, {Addr: addr("192.0.2.2")}}, Canonical: "mx1.e.test", TTL: 60 * time.Second, Security: resolver.Secure}},
	{name: "alias2.e.test", t: resolver.TXT, want: resolver.Answer{Canonical: "mx1.e.test", TTL: 40 * time.Second, Security: resolver.Insecure}},
	{name: "dangling.e.test", t: resolver.A, want: resolver.Answer{NXDomain: true, Canonical: "nothing.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	{name: "outside.e.test", t: resolver.A, want: resolver.Answer{NXDomain: true, Canonical: "host.other.test", TTL: 60 * time.Second, Security: resolver.Insecure}},
	// Absence: NODATA for a name with other records and for an empty non-terminal.
	{name: "mx1.e.test", t: resolver.TXT, want: resolver.Answer{Canonical: "mx1.e.test", TTL: 120 * time.Second, Security: resolver.Secure}},
	{name: "deep.e.test", t: resolver.TXT, want: resolver.Answer{Canonical: "deep.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	{name: "x.e.test", t: resolver.TXT, want: resolver.Answer{NXDomain: true, Canonical: "x.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	{name: "com", t: resolver.TXT, want: resolver.Answer{NXDomain: true, Canonical: "com", TTL: 60 * time.Second, Security: resolver.Insecure}},
	// Wildcards (RFC 4592): any depth, but not if the name exists.
	{name: "q.wild.e.test", t: resolver.TXT, want: resolver.Answer{Records: texts("wildcard"), Canonical: "q.wild.e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "p.q.wild.e.test", t: resolver.TXT, want: resolver.Answer{Records: texts("wildcard"), Canonical: "p.q.wild.e.test", TTL: 300 * time.Second, Security: resolver.Insecure}},
	{name: "q.wild.e.test", t: resolver.A, want: resolver.Answer{Canonical: "q.wild.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	{name: "q.y.wild.e.test", t: resolver.TXT, want: resolver.Answer{NXDomain: true, Canonical: "q.y.wild.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	// Names that cannot exist are absent, not failures.
	{name: "a..e.test", t: resolver.TXT, want: resolver.Answer{NXDomain: true}},
	{name: strings.Repeat("a", 64) + ".e.test", t: resolver.TXT, want: resolver.Answer{NXDomain: true}},
	{name: "", t: resolver.TXT, want: resolver.Answer{NXDomain: true}},
	// Failures.
	{name: "servfail.e.test", t: resolver.A, kind: resolver.ServFail},
	{name: "servfail.e.test", t: resolver.TXT, want: resolver.Answer{Canonical: "servfail.e.test", TTL: 120 * time.Second, Security: resolver.Insecure}},
	{name: "bogus.e.test", t: resolver.MX, kind: resolver.Bogus},
	{name: "tobad.e.test", t: resolver.MX, kind: resolver.Bogus},
	{name: "refused.e.test", t: resolver.MX, kind: resolver.Refused},
	{name: "timeout.e.test", t: resolver.TXT, kind: resolver.Timeout},
	{name: "loop.e.test", t: resolver.A, kind: resolver.ServFail},
}

// TestZone asks the zone in memory and, over the network, a server of it: they agree.
func TestZone(t *testing.T) {
	z := parse(t, zoneText)
	server, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := stub.New(stub.Config{Servers: []string{server.Addr()}, Timeout: 300 * time.Millisecond, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for kind, r := range map[string]resolver.Resolver{"memory": z, "network": client} {
		for _, l := range lookups {
			t.Run(kind+"/"+l.name+"/"+l.t.String(), func(t *testing.T) {
				check(t, r, l)
			})
		}
	}
	t.Run("peek", func(t *testing.T) {
		if _, ok := z.Peek("e.test", resolver.MX); !ok {
			t.Error("Peek does not know an answer of the zone")
		}
		if _, ok := z.Peek("refused.e.test", resolver.MX); ok {
			t.Error("Peek knows a failure")
		}
	})
}

func check(t *testing.T, r resolver.Resolver, l lookup) {
	t.Helper()
	got, err := r.Lookup(t.Context(), l.name, l.t)
	if l.kind != "" || err != nil {
		if k := kindOf(err); k != l.kind {
			t.Errorf("kind = %q (%v), want %q", k, err, l.kind)
		}
		var e *resolver.Error
		if errors.As(err, &e) && (e.EDE == dns.ExtendedErrorCodeDNSBogus) != (l.kind == resolver.Bogus) {
			t.Errorf("extended error %d with %s", e.EDE, l.kind)
		}
		return
	}
	if d := cmp.Diff(l.want, got, cmp.Comparer(sameAddr), cmpopts.IgnoreUnexported(resolver.Answer{})); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
}

func kindOf(err error) resolver.Kind {
	if err == nil {
		return ""
	}
	return resolver.KindOf(err)
}

func TestZoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := parse(t, zoneText).Lookup(ctx, "e.test", resolver.MX)
	if got := kindOf(err); got != resolver.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("kind = %q (%v), want %q", got, err, resolver.Canceled)
	}
}

// TestDirectiveNames: a name of FAULT and SECURE is in full or relative to $ORIGIN, and "*."
// stands for everything below.
func TestDirectiveNames(t *testing.T) {
	z := parse(t, `$TTL 60
$ORIGIN e.test.
a A 192.0.2.1
; FAULT a A SERVFAIL
; FAULT b.e.test A REFUSED
; FAULT c.e.test. A TIMEOUT
; FAULT @ TXT BOGUS
; FAULT *.w ANY SERVFAIL
; FAULT ok.w TXT REFUSED
$origin sub
; FAULT a A REFUSED
d A 192.0.2.2
; SECURE d
`)
	for question, want := range map[string]resolver.Kind{
		"a.e.test A": resolver.ServFail, "a.e.test TXT": "", "b.e.test A": resolver.Refused, "c.e.test A": resolver.Timeout,
		"e.test TXT": resolver.Bogus, "w.e.test TXT": "", "x.y.w.e.test TXT": resolver.ServFail, "ok.w.e.test TXT": resolver.Refused,
		"a.sub.e.test A": resolver.Refused, "d.sub.e.test A": "",
	} {
		name, kind, _ := strings.Cut(question, " ")
		rr := map[string]resolver.Type{"A": resolver.A, "TXT": resolver.TXT}[kind]
		a, err := z.Lookup(t.Context(), name, rr)
		if got := kindOf(err); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
		if secure := a.Security == resolver.Secure; secure != (name == "d.sub.e.test") {
			t.Errorf("%s: secure %v", question, secure)
		}
	}
}

func TestSyntax(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"e.test. IN A 192.0.2.1\n; FAULT e.test A\n", "zone:2:1: FAULT needs"},
		{"; FAULT e.test A BROKEN", `zone:1:1: FAULT: "BROKEN" is not`},
		{"; FAULT e.test AX TIMEOUT", `zone:1:1: FAULT: "AX" is no`},
		{"; SECURE", "zone:1:1: SECURE needs"},
		{"\ne.test. IN A 192.0.2.300\n", "zone:2:"},
		{"e.test. IN NOTYPE x", "zone:1:"},
		{"e.test. A 192.0.2.1\n$generate 1-65535 a$ A 192.0.2.1\n", "zone:2:1: $GENERATE"},
		{"$INCLUDE /etc/passwd\n", "zone:1:"},
		{"e.test. IN TXT \"open\n", "zone:"},
	} {
		_, err := dnszone.Parse(c.text)
		var syntax *dnszone.SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("Parse(%q) = %v, want %s…", c.text, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "z.zone")
	if _, err := dnszone.ParseFiles(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ParseFiles of no file = %v", err)
	}
	os.WriteFile(path, []byte("; SECURE\n"), 0o600)
	if _, err := dnszone.ParseFiles(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: ") {
		t.Errorf("ParseFiles = %v, want the path in front", err)
	}
}

// TestServer sees the messages themselves: AD, truncation, EDNS and noise.
func TestServer(t *testing.T) {
	long := "long.e.test. IN TXT \"" + strings.Repeat("x", 250) + "\" \"" + strings.Repeat("y", 250) + "\" \"" + strings.Repeat("z", 250) + "\"\n"
	server, err := parse(t, zoneText, long).Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ask := func(network, name string, qtype uint16, size uint16) *dns.Msg {
		t.Helper()
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.AuthenticatedData = true
		if size > 0 {
			m.SetEdns0(size, false)
		}
		c := dns.Client{Net: network, Timeout: 2 * time.Second}
		r, _, err := c.Exchange(m, server.Addr())
		if err != nil {
			t.Fatalf("%s %s: %v", network, name, err)
		}
		return r
	}
	if r := ask("udp", "mx1.e.test.", dns.TypeA, 0); !r.AuthenticatedData || r.IsEdns0() != nil || len(r.Answer) != 2 {
		t.Errorf("secure name without EDNS: %v", r)
	}
	if r := ask("udp", "e.test.", dns.TypeMX, 1232); r.AuthenticatedData || r.IsEdns0() == nil {
		t.Errorf("insecure name with EDNS: %v", r)
	}
	if r := ask("udp", "long.e.test.", dns.TypeTXT, 0); !r.Truncated || len(r.Answer) != 0 {
		t.Errorf("long answer in 512 octets: %v", r)
	}
	if r := ask("udp", "long.e.test.", dns.TypeTXT, 1232); r.Truncated || len(r.Answer) != 1 {
		t.Errorf("long answer in 1232 octets: %v", r)
	}
	if r := ask("tcp", "long.e.test.", dns.TypeTXT, 0); r.Truncated || len(r.Answer) != 1 {
		t.Errorf("long answer over TCP: %v", r)
	}
	if r := ask("udp", "Alias.e.test.", dns.TypeA, 0); len(r.Answer) != 4 || r.Answer[0].Header().Name != "Alias.e.test." || r.Answer[2].Header().Name != "mx1.e.test." {
		t.Errorf("chain: %v", r)
	}
	if r := ask("udp", "bogus.e.test.", dns.TypeA, 1232); r.Rcode != dns.RcodeServerFailure || len(r.IsEdns0().Option) != 1 {
		t.Errorf("bogus: %v", r)
	}
	if udp, tcp := server.Queries(); udp != 6 || tcp != 1 {
		t.Errorf("Queries = %d, %d, want 6, 1", udp, tcp)
	}
}

// TestServeAt: the server is where it was told to be, which is once only.
func TestServeAt(t *testing.T) {
	zone := parse(t, zoneText)
	server, err := zone.ServeAt("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if again, err := zone.ServeAt(server.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("ServeAt(%s) again = %v, %v, want address in use", server.Addr(), again, err)
	}
}

// FuzzParse: no text makes the parser or a lookup panic, and an error has a place.
func FuzzParse(f *testing.F) {
	f.Add(zoneText, "alias.e.test")
	f.Add("e.test. IN TYPE6 \\# 4 c0000201\n", "e.test")
	f.Add("e.test. IN TYPE5 \\# 1 00\n", "e.test")
	f.Add("$GENERATE 1-3 n$.e.test. A 192.0.2.$\n", "n1.e.test")
	f.Add("; FAULT e.test ANY BOGUS\n$TTL x\n", "e.test")
	f.Add("*. IN CNAME a.\n. IN SOA . . 1 2 3 4 5\n", "b")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 4096 {
			return
		}
		z, err := dnszone.Parse(text)
		var syntax *dnszone.SyntaxError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Msg == "" {
				t.Errorf("Parse = %#v", err)
			}
			return
		}
		for _, typ := range []resolver.Type{resolver.A, resolver.CNAME, resolver.TXT, resolver.SOA} {
			if a, err := z.Lookup(t.Context(), name, typ); err == nil && a.NXDomain && len(a.Records) > 0 {
				t.Errorf("NXDOMAIN with records: %+v", a)
			}
		}
	})
}
