package postseal_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/lab/reference"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// TestLargestLegalRecord: ten mx of ten hosts each are 111 questions, and are answered.
func TestLargestLegalRecord(t *testing.T) {
	record, lines := "v=spf1", []string{}
	for i := range 10 {
		record += fmt.Sprintf(" mx:m%d.acme.test", i)
		for j := range 10 {
			lines = append(lines, fmt.Sprintf("m%d.acme.test. MX %d h%d.m%d.acme.test.", i, j, j, i), fmt.Sprintf("h%d.m%d.acme.test. A 192.0.2.%d", j, i, 10*i+j+1))
		}
	}
	lines = append(lines, "acme.test. TXT "+reference.TXT(record+" -all"))
	r := deliver(t, lines, "192.0.2.100", "mx.acme.test", "a@acme.test", "From: a@acme.test\r\n\r\nx\r\n")
	if r.SPF[0].Code != spf.Pass || r.SPF[0].Lookups != 10 {
		t.Errorf("%+v", r.SPF[0])
	}
}

// deliver verifies a message by the records of a zone, strictly, and accepting what is unknown:
// the mode in which an unknown is worth most to a forger.
func deliver(t *testing.T, lines []string, ip, helo, from, text string) *postseal.Report {
	t.Helper()
	zone, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Enforce: postseal.Strict, OnError: postseal.OnErrorAccept, Resolver: resolver.NewCache(zone, resolver.CacheOptions{}),
		Now: func() time.Time { return time.Unix(1767571200, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 25)}, helo, from, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBoughtUnknown: a sender who spends the DNS budget of the message does not make the forgery of
// a protected author unknown, whichever check it is spent on.
func TestBoughtUnknown(t *testing.T) {
	victim := []string{"_dmarc.victim.test. TXT \"v=DMARC1; p=reject\"", "victim.test. TXT \"v=spf1 -all\""}
	large := func(name string) string { return name + " TXT " + reference.TXT(strings.Repeat("x", 55000)) }
	nonsense := "DKIM-Signature: v=1; a=rsa-sha256; d=victim.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
	many := func(n int) (text string) {
		for i := range n {
			text += strings.Replace(nonsense, "d=victim.test; s=s", fmt.Sprintf("d=evil.test; s=s%d", i), 1)
		}
		return text
	}
	helo := []string{"helo.evil.test. TXT \"v=spf1 include:a.evil.test include:b.evil.test include:c.evil.test include:d.evil.test include:e.evil.test -all\""}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		helo = append(helo, n+".evil.test. TXT \"v=spf1 ?all\"", large(n+".evil.test."))
	}
	var keys, hosts []string
	for i := range 20 {
		keys = append(keys, large(fmt.Sprintf("s%d._domainkey.evil.test.", i)))
	}
	record := "v=spf1"
	for i := range 10 {
		record += fmt.Sprintf(" mx:m%d.evil.test", i)
		for j := range 10 {
			hosts = append(hosts, fmt.Sprintf("m%d.evil.test. MX 1 h%d.m%d.other%d.test.", i, j, i, i))
		}
	}
	hosts = append(hosts, "evil.test. TXT "+reference.TXT(record+" -all"))
	for _, tt := range []struct {
		name, from, text string
		lines            []string
	}{
		{"HELO spends octets", "a@evil.test", nonsense, helo},
		{"keys spend octets", "a@evil.test", many(10) + nonsense, keys},
		{"more keys than are asked for", "a@evil.test", many(40) + nonsense, nil},
		{"MAIL FROM spends questions", "a@evil.test", nonsense, hosts},
		{"MAIL FROM of the victim, HELO spends", "a@victim.test", nonsense, helo},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := deliver(t, append(tt.lines, victim...), "203.0.113.66", "helo.evil.test", tt.from, tt.text+"From: a@victim.test\r\n\r\nx\r\n")
			if r.DMARC.Code != dmarc.Fail || r.Decision.Applied != postseal.Reject {
				t.Errorf("dmarc=%s (%s), applied %s, spf %+v, dkim %+v", r.DMARC.Code, r.DMARC.Problem, r.Decision.Applied, r.SPF, r.DKIM)
			}
		})
	}
}

var adversaries = flag.Int("adversaries", 100, "how many senders TestAdversarialDNS tries; make attack gives more")

// TestAdversarialDNS: whatever stands below the sender's own domains, the verdict is never better
// than with those domains empty.
func TestAdversarialDNS(t *testing.T) {
	for seed := range uint64(*adversaries) {
		random := rand.New(rand.NewPCG(seed, 17))
		text, helo, from := adversarialMessage(random)
		victim := []string{"_dmarc.victim.test. TXT \"v=DMARC1; p=reject\"", "victim.test. TXT \"v=spf1 ip4:192.0.2.1 -all\""}
		empty := deliver(t, victim, "203.0.113.66", helo, from, text)
		got := deliver(t, append(adversarialZone(random), victim...), "203.0.113.66", helo, from, text)
		if strength(got) < strength(empty) {
			t.Fatalf("seed %d: %s with the sender's records, %s without\n%s\nspf %+v\ndkim %+v\ndmarc %+v", seed, got.Decision.Applied, empty.Decision.Applied, text, got.SPF, got.DKIM, got.DMARC)
		}
	}
}

func strength(r *postseal.Report) int {
	return map[postseal.Action]int{postseal.Accept: 0, postseal.Quarantine: 1, postseal.Defer: 2, postseal.Reject: 3}[r.Decision.Applied]
}

func oneOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// adversarialMessage is a forgery of victim.test, perhaps with a second author of the sender.
func adversarialMessage(r *rand.Rand) (text, helo, from string) {
	for range r.IntN(14) {
		text += fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=s%d; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n",
			oneOf(r, "evil.test", "a.evil.test", "evil2.test", "victim.test"), r.IntN(20))
	}
	text += "From: " + oneOf(r, "a@victim.test", "a@victim.test", "a@evil.test, b@victim.test", "b@victim.test, a@a.evil.test") + "\r\n\r\nx\r\n"
	return text, oneOf(r, "evil.test", "a.evil.test", "helo.evil2.test", "victim.test"), oneOf(r, "a@evil.test", "a@a.evil.test", "", "a@victim.test", "a@evil2.test")
}

// adversarialZone are records below evil.test and evil2.test: large ones, broken ones, loops, and
// faults of their name servers.
func adversarialZone(r *rand.Rand) (lines []string) {
	names := []string{"evil.test", "a.evil.test", "b.evil.test", "evil2.test", "helo.evil2.test", "_dmarc.evil.test", "_dmarc.a.evil.test", "_dmarc.evil2.test"}
	for i := range 20 {
		names = append(names, fmt.Sprintf("s%d._domainkey.%s", i, oneOf(r, "evil.test", "a.evil.test", "evil2.test")))
	}
	for _, n := range names {
		switch r.IntN(8) {
		case 0:
			lines = append(lines, "; FAULT "+n+" TXT "+oneOf(r, "SERVFAIL", "TIMEOUT", "REFUSED"))
		case 1:
			lines = append(lines, n+". TXT "+reference.TXT(strings.Repeat("x", r.IntN(60000))))
		case 2:
			lines = append(lines, n+". TXT \"v=spf1 include:"+oneOf(r, names...)+" mx a ptr exists:%{l}."+oneOf(r, names...)+" -all\"")
		case 3:
			lines = append(lines, n+". TXT "+reference.TXT("v=spf1 "+strings.Repeat("mx:"+oneOf(r, names...)+" ", r.IntN(11))+oneOf(r, "-all", "?all", "+all")))
		case 4:
			lines = append(lines, n+". TXT "+reference.TXT(oneOf(r, "v=DMARC1; p=none", "v=DMARC1; p=reject; psd=y", "v=DKIM1; p=AAAA", "v=spf1 +all")))
		case 5:
			for j := range r.IntN(30) {
				lines = append(lines, fmt.Sprintf("%s. MX %d h%d.%s.", n, j, j, n))
			}
		}
	}
	return lines
}

// ordered answers from a zone after 5 ms, and notes in which order it was asked.
type ordered struct {
	zone  *dnstest.Zone
	mu    sync.Mutex
	names []string
}

func (o *ordered) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	o.mu.Lock()
	o.names = append(o.names, name)
	o.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	return o.zone.Lookup(ctx, name, t)
}

// TestHeloAfterMailFrom: while the MAIL FROM identity is costly, HELO asks nothing but the question that
// was in flight; it is evaluated after it. With an ordinary MAIL FROM the two run at the same time.
func TestHeloAfterMailFrom(t *testing.T) {
	lines := []string{`i3.cheap.test. TXT "v=spf1 -all"`}
	for i, next := range []string{"i1", "i2", "i3"} { // one after the other
		lines = append(lines, fmt.Sprintf(`%scheap.test. TXT "v=spf1 include:%s.cheap.test -all"`, []string{"", "i1.", "i2."}[i], next))
	}
	record, helo := "v=spf1", "v=spf1"
	for i := range 10 {
		record += fmt.Sprintf(" mx:m%d.costly.test", i)
		helo += fmt.Sprintf(" a:h%d.helo.test", i)
		lines = append(lines, fmt.Sprintf("h%d.helo.test. A 192.0.2.1", i))
		for j := range 10 {
			lines = append(lines, fmt.Sprintf("m%d.costly.test. MX %d h%d.m%d.costly.test.", i, j, j, i), fmt.Sprintf("h%d.m%d.costly.test. A 192.0.2.1", j, i))
		}
	}
	lines = append(lines, "costly.test. TXT "+reference.TXT(record+" -all"), "helo.test. TXT "+reference.TXT(helo+" -all"))
	zone, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sender string
		within bool // HELO asks while MAIL FROM does
	}{{"costly.test", false}, {"cheap.test", true}} {
		t.Run(tt.sender, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &ordered{zone: zone}
				v := verifier(t, postseal.Config{Resolver: o})
				check := v.StartSPF(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.1:25")}, "helo.test", "a@"+tt.sender)
				results, _ := check.Wait(t.Context())
				if results[0].Code != spf.Fail || results[1].Code != spf.Fail {
					t.Fatalf("got %s (%s) and %s (%s), want fail of both", results[0].Code, results[0].Problem, results[1].Code, results[1].Problem)
				}
				last := 0 // the last question of MAIL FROM
				for i, name := range o.names {
					if strings.HasSuffix(name, tt.sender) {
						last = i
					}
				}
				costly, asked, within := 0, 0, 0
				for i, name := range o.names {
					switch {
					case strings.HasSuffix(name, tt.sender):
						costly++
					case strings.HasSuffix(name, "helo.test"):
						asked++
						if i < last && (tt.within || costly > 20) {
							within++
						}
					}
				}
				if asked != 11 || (within > 1) != tt.within {
					t.Errorf("HELO asked %d questions, %d of them while MAIL FROM did: %q", asked, within, o.names)
				}
			})
		})
	}
}
