package corpus_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/lab/bench/corpus"
	"postseal/resolver/dnstest"
)

// TestMails: the engine comes to the results that the mail was made for, of which there are all
// kinds.
func TestMails(t *testing.T) {
	senders := corpus.NewSenders()
	zone, err := dnstest.Parse(senders.Zone())
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: "mx.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range senders.Mails(400, 1, true) {
		s := v.Session(context.Background(), postseal.Conn{Remote: netip.AddrPortFrom(m.Client, 25)})
		s.Helo(m.Helo)
		r, err := s.Verify(context.Background(), m.ReversePath, []string{"b@example.net"}, strings.NewReader(string(m.Text)))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{"spf " + string(r.SPF[0].Code), "dkim " + best(r), "dmarc " + string(r.DMARC.Code)}
		want := []string{"spf " + m.SPF, "dkim " + m.DKIM, "dmarc " + m.DMARC}
		for i := range got {
			seen[want[i]]++
			if got[i] != want[i] {
				t.Errorf("%s from %v, made for %v: %v", m.ReversePath, m.Client, want, got)
				break
			}
		}
	}
	for _, kind := range []string{"spf pass", "spf fail", "spf softfail", "spf neutral", "spf none", "dkim pass", "dkim fail", "dkim permerror", "dkim none",
		"dmarc pass", "dmarc fail", "dmarc none"} {
		if seen[kind] == 0 {
			t.Errorf("no mail for %s", kind)
		}
	}
}

// best is the result of the message: a pass if a signature passes.
func best(r *postseal.Report) string {
	word := "none"
	for _, s := range r.DKIM {
		if word = string(s.Code); word == "pass" {
			break
		}
	}
	return word
}
