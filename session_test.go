package postseal_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

// TestSessionAt: a message is verified by the clock of its session, that of its receipt,
// before its signature ended; the next session has the clock of the Verifier again.
func TestSessionAt(t *testing.T) {
	key := reference.Ed25519("a")
	zone, err := dnstest.Parse("s._domainkey.e.test. 60 TXT " + reference.TXT(reference.Record(key)) + "\n_dmarc.e.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	signature := reference.DKIM("e.test", "s", key).With("v=1;", "v=1; x=1767600000;") // 2026-01-05T08:00:00Z
	text := signature.Sign("From: a@e.test\r\n\r\nhello\r\n")
	v := verifier(t, postseal.Config{Resolver: zone})
	received := time.Date(2026, 1, 5, 7, 59, 0, 0, time.UTC)
	for _, test := range []struct {
		at   time.Time
		want dkim.Reason
	}{{received, dkim.Valid}, {time.Time{}, dkim.Expired}} {
		s := v.Session(t.Context(), postseal.Conn{})
		want := clock()
		if !test.at.IsZero() {
			s.At(test.at)
			want = test.at
		}
		r, err := s.Verify(t.Context(), "", nil, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.DKIM[0].Reason; got != test.want || !r.Time.Equal(want) {
			t.Errorf("at %v: %v, time %v; want %v, %v", test.at, got, r.Time, test.want, want)
		}
	}
}

// TestReconsider: another mode and another discovery decide on the same results.
func TestReconsider(t *testing.T) {
	zone, err := dnstest.Parse("_dmarc.host.example.com. 60 TXT \"v=DMARC1; p=none; psd=n\"\n_dmarc.example.com. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	live := verifier(t, postseal.Config{Resolver: zone, Enforce: postseal.Observe})
	for _, test := range []struct {
		author          string
		config          postseal.Config
		action, applied postseal.Action
	}{
		{"example.com", postseal.Config{Enforce: postseal.Strict}, postseal.Reject, postseal.Reject},
		{"example.com", postseal.Config{Enforce: postseal.EnforceQuarantine}, postseal.Reject, postseal.Quarantine},
		{"a.host.example.com", postseal.Config{Enforce: postseal.Strict}, postseal.Accept, postseal.Accept},
		{"a.host.example.com", postseal.Config{Enforce: postseal.Strict, Discovery: dmarc.PSL}, postseal.Reject, postseal.Reject},
	} {
		r, err := postseal.VerifyReader(t.Context(), live, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:1")}, "", "", strings.NewReader("From: a@"+test.author+"\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		before := r.Decision
		test.config.Resolver = zone
		if d := verifier(t, test.config).Reconsider(t.Context(), r); d.Action != test.action || d.Applied != test.applied {
			t.Errorf("%s, %s %s: %s, applied %s; want %s, %s", test.author, test.config.Enforce, test.config.Discovery, d.Action, d.Applied, test.action, test.applied)
		}
		if r.Decision != before || r.DMARC.Discovery != dmarc.TreeWalk {
			t.Errorf("%s: the report was changed", test.author)
		}
	}
}
