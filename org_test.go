package postseal_test

import (
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/domain"
)

func TestSameOrganization(t *testing.T) {
	for _, test := range []struct {
		name, author, org, domain string
		want                      bool
	}{
		{"the author itself", "acme.test", "", "acme.test", true},
		{"a subdomain", "acme.test", "", "mail.acme.test", true},
		{"a sibling under one registrable domain", "www.acme.test", "", "mail.acme.test", true},
		{"another", "acme.test", "acme.test", "evil-acme.test", false},
		{"a public suffix separates", "foo.github.io", "", "bar.github.io", false},
		{"a public suffix that says it is an organization", "foo.github.io", "github.io", "bar.github.io", true},
		{"not a domain", "acme.test", "acme.test", "a..acme.test", false},
		{"empty", "acme.test", "acme.test", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &postseal.Report{DMARC: dmarc.Result{OrgDomain: test.org}}
			r.Author.Domains = []domain.Name{domain.Name(test.author)}
			if got := r.SameOrganization(test.domain); got != test.want {
				t.Errorf("SameOrganization(%q) = %v, want %v", test.domain, got, test.want)
			}
		})
	}
	if (&postseal.Report{}).SameOrganization("acme.test") {
		t.Error("without an author there is no organization")
	}
}
