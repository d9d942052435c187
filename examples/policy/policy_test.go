package policy

import (
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/message"
	"postseal/spf"
)

// A Policy needs no message to be tested: a Report can be built by hand.
func TestBoss(t *testing.T) {
	list := new(message.Header)
	f, _ := message.ParseField([]byte("List-Id: <all.lists.test>"))
	list.Add(f)
	tests := []struct {
		name   string
		author string
		header *message.Header
		spf    string // the domain that passes
		dmarc  dmarc.Code
		want   postseal.Action
	}{
		{"the boss", "boss@acme.test", nil, "acme.test", dmarc.Pass, postseal.Accept},
		{"a forgery of the boss", "boss@acme.test", nil, "spam.test", dmarc.Fail, postseal.Reject},
		{"the boss on a list", "boss@acme.test", list, "lists.test", dmarc.Fail, postseal.Accept},
		{"a forgery that says it is of a list", "boss@acme.test", list, "spam.test", dmarc.Fail, postseal.Reject},
		{"someone else", "a@acme.test", nil, "spam.test", dmarc.Fail, postseal.Accept},
	}
	p := &Boss{EnforcePolicy: postseal.EnforcePolicy{Mode: postseal.Guarded}, Addresses: []string{"boss@acme.test"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &postseal.Report{
				Author: message.Author{Addresses: []string{tt.author}, Domains: []domain.Name{"acme.test"}},
				Header: tt.header,
				SPF:    []spf.Result{{Code: spf.Pass, Domain: tt.spf}},
				DMARC:  dmarc.Result{Code: tt.dmarc, Policy: dmarc.PolicyNone},
			}
			if d := p.Decide(r); d.Applied != tt.want {
				t.Errorf("%s (%s), want %s", d.Applied, d.Reason, tt.want)
			}
		})
	}
}
