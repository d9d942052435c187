package postseal_test

import (
	"fmt"
	"strings"
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/lab/reference"
)

// TestStarvedPolicy: nothing that a sender makes us ask keeps the policy of the author from
// being found. The keys of ten signatures and fifty ARC Sets are more than the budget.
func TestStarvedPolicy(t *testing.T) {
	large := strings.Repeat("x", 7000)
	var lines []string
	text := forwarded
	for i := range 10 {
		s := fmt.Sprintf("k%d", i)
		text = reference.DKIM("evil.test", s, reference.Ed25519("evil.test")).Sign(text)
		lines = append(lines, s+"._domainkey.evil.test. 60 TXT "+reference.TXT(reference.Record(reference.Ed25519("evil.test"))+"; n="+large))
	}
	for i := range 50 {
		set := hop("evil.test", "x; none")
		set.Selector = fmt.Sprintf("a%d", i)
		text = reference.SealAll(text, set)
		lines = append(lines, set.Selector+"._domainkey.evil.test. 60 TXT "+reference.TXT(reference.Record(set.Key)+"; n="+large))
	}
	r := receive(t, postseal.Config{Enforce: postseal.Strict}, text, lines...)
	if r.DMARC.Code != dmarc.Fail || r.Decision.Applied != postseal.Reject {
		t.Errorf("got dmarc=%s (%s), applied %s, want fail, reject", r.DMARC.Code, r.DMARC.Problem, r.Decision.Applied)
	}
}

// TestStarvedByAnotherAuthor: nor can the records of one author hide those of another.
func TestStarvedByAnotherAuthor(t *testing.T) {
	name := "a.b.c.d.e.f.evil.test"
	lines := []string{}
	for n := name; n != ""; {
		for range 5 {
			lines = append(lines, "_dmarc."+n+". 60 TXT "+reference.TXT(strings.Repeat("x", 12000)))
		}
		_, n, _ = strings.Cut(n, ".")
	}
	text := strings.Replace(forwarded, "From: Dana <dana@acme.test>", "From: a@"+name+", dana@acme.test", 1)
	r := receive(t, postseal.Config{Enforce: postseal.Strict}, text, lines...)
	if r.DMARC.Code != dmarc.Fail || r.Decision.Applied != postseal.Reject {
		t.Errorf("got dmarc=%s (%s), applied %s, want fail, reject", r.DMARC.Code, r.DMARC.Problem, r.Decision.Applied)
	}
}

// TestExistenceUnknown: the message fails, and the DNS hides whether p=none or np=reject is
// for it.
func TestExistenceUnknown(t *testing.T) {
	text := strings.Replace(forwarded, "dana@acme.test", "dana@none.down.test", 1)
	r := receive(t, postseal.Config{}, text, `_dmarc.down.test. 60 TXT "v=DMARC1; p=none; np=reject"`, "; FAULT none.down.test TXT SERVFAIL")
	if r.DMARC.Reason != dmarc.ExistenceUnknown || r.Decision.Applied != postseal.Defer {
		t.Errorf("got dmarc=%s %s, applied %s, want temperror dmarc.ExistenceUnknown, defer", r.DMARC.Code, r.DMARC.Reason, r.Decision.Applied)
	}
}
