package postseal_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"postseal"
	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

const sharedZone = `
e.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.e.test. 60 TXT "v=DMARC1; p=reject"
`

// held answers no question until it is released.
type held struct {
	resolver.Resolver
	release chan struct{}
}

func (s held) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-s.release:
		return s.Resolver.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}

func sharedConn(ip string) postseal.Conn {
	return postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 25)}
}

func sharedVerifier(t *testing.T, r resolver.Resolver) *postseal.Verifier {
	t.Helper()
	v, err := postseal.New(postseal.Config{Resolver: r})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sharedZoneOf(t *testing.T) resolver.Resolver {
	t.Helper()
	zone, err := dnstest.Parse(sharedZone)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestSharedSPF: a check that another door began serves the transaction, whose evidence
// holds its questions once; a check of another envelope does not.
func TestSharedSPF(t *testing.T) {
	defer goleak.VerifyNone(t)
	v := sharedVerifier(t, sharedZoneOf(t))
	ctx := t.Context()
	check := v.StartSPF(ctx, sharedConn("192.0.2.1"), "mx.e.test", "a@e.test")
	if got := check.First(ctx).Code; got != spf.Pass {
		t.Fatalf("First = %v, want pass", got)
	}
	for _, test := range []struct {
		name, ip, helo, from string
		want                 spf.Code
	}{
		{"same", "192.0.2.1", "mx.e.test", "a@e.test", spf.Pass},
		{"other client", "192.0.2.2", "mx.e.test", "a@e.test", spf.Fail},
		{"other sender", "192.0.2.1", "mx.e.test", "a@none.test", spf.None},
		{"other HELO name", "192.0.2.1", "mx2.e.test", "a@e.test", spf.Pass},
	} {
		s := v.Session(ctx, sharedConn(test.ip))
		s.Helo(test.helo)
		tx := s.MailWithSPF(test.from, check)
		if err := message.Stream(tx, strings.NewReader("From: a@e.test\r\n\r\nx\r\n"), message.Limits{}); err != nil {
			t.Fatal(err)
		}
		r, err := tx.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.SPF[0].Code; got != test.want {
			t.Errorf("%s: SPF = %v, want %v", test.name, got, test.want)
		}
		seen := map[string]int{}
		for _, e := range r.Exchanges() {
			seen[e.Type.String()+" "+e.Name]++
		}
		if n := seen["TXT "+test.from[2:]]; n != 1 {
			t.Errorf("%s: the record was asked for %d times, want 1", test.name, n)
		}
		if r.Cost.DNSQueries != len(r.Exchanges()) {
			t.Errorf("%s: DNSQueries = %d, want %d", test.name, r.Cost.DNSQueries, len(r.Exchanges()))
		}
	}
}

// TestSharedSPFOutlivesTransaction: the end of a transaction does not wait for a check of
// another door, and does not end it.
func TestSharedSPFOutlivesTransaction(t *testing.T) {
	defer goleak.VerifyNone(t)
	dns := held{sharedZoneOf(t), make(chan struct{})}
	v := sharedVerifier(t, dns)
	check := v.StartSPF(t.Context(), sharedConn("192.0.2.1"), "mx.e.test", "a@e.test")
	s := v.Session(t.Context(), sharedConn("192.0.2.1"))
	s.Helo("mx.e.test")
	tx := s.MailWithSPF("a@e.test", check)
	tx.Abort()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if results, iprev := check.Wait(over); len(results) != 2 || results[0].Code != spf.TempError || iprev.Code != postseal.IPRevTempError {
		t.Errorf("before the answer: got %v, %v, want temperror", results, iprev)
	}
	close(dns.release)
	if results, _ := check.Wait(t.Context()); results[0].Code != spf.Pass {
		t.Errorf("after the abort of the transaction: SPF = %v, want pass", results[0].Code)
	}
}

// TestSPFOf: the SPF of other domains is evaluated for the client whatever MAIL FROM says, by the
// message's own check and by a shared one; what cannot be known yet is temperror.
func TestSPFOf(t *testing.T) {
	defer goleak.VerifyNone(t)
	dns := held{sharedZoneOf(t), make(chan struct{})}
	v, err := postseal.New(postseal.Config{Resolver: dns, SPFOf: []string{"e.test", "none.test"}})
	if err != nil {
		t.Fatal(err)
	}
	check := v.StartSPF(t.Context(), sharedConn("192.0.2.1"), "x.test", "a@x.test")
	if of := check.Of(); len(of) != 2 || of[0].Code != spf.TempError || of[0].Domain != "e.test" {
		t.Errorf("before the answer: %v", of)
	}
	close(dns.release)
	check.Wait(t.Context())
	for _, shared := range []*postseal.SPFCheck{check, nil} {
		s := v.Session(t.Context(), sharedConn("192.0.2.1"))
		s.Helo("x.test")
		tx := s.MailWithSPF("a@x.test", shared)
		if err := message.Stream(tx, strings.NewReader("From: a@x.test\r\n\r\nx\r\n"), message.Limits{}); err != nil {
			t.Fatal(err)
		}
		r, err := tx.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.SPFOf) != 2 || r.SPFOf[0].Code != spf.Pass || r.SPFOf[1].Code != spf.None || r.SPF[0].Code != spf.None {
			t.Errorf("SPFOf = %v, SPF = %v", r.SPFOf, r.SPF)
		}
	}
	if _, err := postseal.New(postseal.Config{Resolver: dns, SPFOf: []string{"a..b"}}); err == nil {
		t.Error("a bad name is taken")
	}
}
