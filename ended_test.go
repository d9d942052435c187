package postseal_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"postseal"
	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// verifierOn makes a Verifier of c that knows the records of a zone.
func verifierOn(t *testing.T, zone string, c postseal.Config) *postseal.Verifier {
	t.Helper()
	records, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	c.Resolver = records
	v, err := postseal.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNoHeaders: without header changes everything else is the same.
func TestNoHeaders(t *testing.T) {
	text := "Authentication-Results: mx.test; spf=pass\r\nFrom: a@acme.test\r\n\r\nx\r\n"
	reports := map[bool]*postseal.Report{}
	for _, without := range []bool{false, true} {
		v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", postseal.Config{AuthservID: "mx.test", NoHeaders: without})
		var err error
		if reports[without], err = postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "x", "a@acme.test", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	with, without := reports[false], reports[true]
	if len(with.Headers.Add) == 0 || len(with.Headers.Remove) != 1 || without.Headers.Add != nil || without.Headers.Remove != nil {
		t.Errorf("with: %+v, without: %+v", with.Headers, without.Headers)
	}
	if !reflect.DeepEqual(with.Decision, without.Decision) || !reflect.DeepEqual(with.SPF, without.SPF) || !reflect.DeepEqual(with.DMARC, without.DMARC) {
		t.Errorf("with: %+v, without: %+v", with, without)
	}
}

// TestEnded: a transaction that ended has no hold on the one that took its work over.
func TestEnded(t *testing.T) {
	v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", postseal.Config{})
	s := v.Session(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")})
	for _, end := range []func(*postseal.Transaction){(*postseal.Transaction).Abort, func(tx *postseal.Transaction) { tx.Finish(t.Context()) }} {
		tx := s.Mail("a@acme.test")
		out := tx.MessageWriter()
		end(tx)
		other := s.Mail("b@acme.test")
		tx.Abort()
		if _, err := tx.Finish(t.Context()); err == nil {
			t.Error("Finish after the end")
		}
		if _, err := out.Write([]byte("From: x@acme.test\r\n")); err == nil {
			t.Error("Write of the writer after the end")
		}
		if err := out.Close(); err == nil {
			t.Error("Close of the writer after the end")
		}
		if tx.Field(message.Field{}) == nil || tx.EndHeader() == nil {
			t.Error("a field after the end")
		}
		if _, err := tx.Write([]byte("x")); err == nil {
			t.Error("body after the end")
		}
		tx.SPF(t.Context())
		if r, err := other.Finish(t.Context()); err != nil || r.SPF[0].Code != "pass" {
			t.Errorf("the other one: %v, %v", r, err)
		}
	}
}

// blocking answers no question for a key before it is cancelled.
type blocking struct{ resolver.Resolver }

func (b blocking) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if strings.Contains(name, "._domainkey.") {
		<-ctx.Done()
		return resolver.Answer{}, ctx.Err()
	}
	return b.Resolver.Lookup(ctx, name, t)
}

// TestCancelledQuestions: a question that turned out not to be needed, and was cancelled, is
// part of the evidence: a replay asks it too.
func TestCancelledQuestions(t *testing.T) {
	zone, err := dnstest.Parse("acme.test. TXT \"v=spf1 -all\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: blocking{zone}})
	if err != nil {
		t.Fatal(err)
	}
	// A seal alone is not a chain, but its key is asked for as it arrives.
	text := "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=acme.test; s=x; b=AAAA\r\nFrom: a@acme.test\r\n\r\n"
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "acme.test", "a@acme.test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Exchanges() {
		if e.Name == "x._domainkey.acme.test" {
			if resolver.KindOf(e.Err) != resolver.Canceled {
				t.Errorf("%+v", e)
			}
			return
		}
	}
	t.Errorf("the question for the key is not in %+v", r.Exchanges())
}
