package dmarc_test

import (
	"context"
	"maps"
	"testing"

	"postseal/dmarc"
	"postseal/domain"
)

// The walk vectors agree with mailauth 7.1.0. Names of org are identifiers with their
// Organizational Domains, those of aligned are identifiers with what they give.
var walkTests = []struct {
	name    string
	zone    []string
	author  string
	guard   bool
	policy  string // domain of the record that applies
	effect  dmarc.Policy
	queries int
	org     map[string]string
	result  map[string]dmarc.Code // by DKIM identifier; "" for none
}{
	{name: "T1", zone: []string{"example.com p=reject", "signing.example.com p=reject"},
		author: "example.com", policy: "example.com", effect: "reject", queries: 2,
		org:    map[string]string{"example.com": "example.com", "signing.example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "signing.example.com": dmarc.Pass, "com": dmarc.Fail, "badexample.com": dmarc.Fail}},
	{name: "T2", zone: []string{"example.com p=reject", "signing.example.com p=reject"},
		author: "a.b.c.d.e.f.g.h.i.j.k.example.com", policy: "example.com", effect: "reject", queries: 8,
		org:    map[string]string{"a.b.c.d.e.f.g.h.i.j.k.example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "signing.example.com": dmarc.Pass, "example.com": dmarc.Pass}},
	{name: "T3", zone: []string{"bank.example psd=y; p=quarantine", "giant.bank.example p=reject"},
		author: "giant.bank.example", policy: "giant.bank.example", effect: "reject", queries: 2,
		org: map[string]string{"giant.bank.example": "giant.bank.example", "mail.giant.bank.example": "giant.bank.example",
			"mail.mega.bank.example": "mega.bank.example"},
		result: map[string]dmarc.Code{"mail.giant.bank.example": dmarc.Pass, "mail.mega.bank.example": dmarc.Fail, "bank.example": dmarc.Fail}},
	{name: "T4", zone: []string{"mail.example.com p=none", "example.com p=none; sp=reject"},
		author: "a.mail.example.com", policy: "example.com", effect: "reject", queries: 4,
		org:    map[string]string{"a.mail.example.com": "example.com", "mail.example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "mail.example.com": dmarc.Pass, "other.example.com": dmarc.Pass}},
	{name: "T5", zone: []string{"mail.example.com psd=n; p=reject", "example.com p=none"},
		author: "a.mail.example.com", policy: "mail.example.com", effect: "reject", queries: 2,
		org:    map[string]string{"a.mail.example.com": "mail.example.com", "example.com": "example.com"},
		result: map[string]dmarc.Code{"mail.example.com": dmarc.Pass, "example.com": dmarc.Fail, "b.mail.example.com": dmarc.Pass}},
	{name: "T6", zone: []string{"com psd=y; p=none; sp=reject"},
		author: "a.mail.example.com", policy: "com", effect: "reject", queries: 4,
		org:    map[string]string{"a.mail.example.com": "example.com", "b.com": "b.com", "com": "com"},
		result: map[string]dmarc.Code{"example.com": dmarc.Pass, "b.example.com": dmarc.Pass, "b.com": dmarc.Fail, "com": dmarc.Fail}},
	{name: "T7", zone: []string{"example.com p=reject", "b.c.d.e.f.g.example.com psd=n; p=none"},
		author: "mail.a.b.c.d.e.f.g.example.com", policy: "example.com", effect: "reject", queries: 8,
		org:    map[string]string{"mail.a.b.c.d.e.f.g.example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "example.com": dmarc.Pass}},
	{name: "T8", zone: []string{"example.com p=reject", "example.com p=none"},
		author: "sub.example.com", queries: 3, org: map[string]string{"sub.example.com": "sub.example.com"},
		result: map[string]dmarc.Code{"": dmarc.None, "sub.example.com": dmarc.None}},
	{name: "T9", zone: []string{"sub.example.com p=none", "sub.example.com p=none", "example.com p=reject"},
		author: "sub.example.com", policy: "example.com", effect: "reject", queries: 3,
		org:    map[string]string{"sub.example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "example.com": dmarc.Pass}},
	{name: "T10", zone: []string{"com p=none; sp=reject"}, author: "victim.com", policy: "com", effect: "reject", queries: 2,
		org:    map[string]string{"victim.com": "com", "attacker.com": "com"},
		result: map[string]dmarc.Code{"attacker.com": dmarc.Pass, "com": dmarc.Pass}},
	{name: "T10 guarded", guard: true, zone: []string{"com p=none; sp=reject"}, author: "victim.com", policy: "com", effect: "reject", queries: 2,
		org:    map[string]string{"victim.com": "victim.com", "attacker.com": "attacker.com", "a.victim.com": "victim.com", "com": "com"},
		result: map[string]dmarc.Code{"attacker.com": dmarc.Fail, "com": dmarc.Fail, "victim.com": dmarc.Pass, "a.victim.com": dmarc.Pass}},
	{name: "T11", zone: []string{"example.com psd=y; p=reject; sp=none"}, author: "example.com", policy: "example.com", effect: "reject", queries: 1,
		org:    map[string]string{"example.com": "example.com", "a.example.com": "a.example.com"},
		result: map[string]dmarc.Code{"example.com": dmarc.Pass, "a.example.com": dmarc.Fail}},
	{name: "T12", zone: []string{"a.example.com p=reject", servfail("_dmarc.example.com")}, author: "a.example.com",
		policy: "a.example.com", effect: "reject", queries: 3, org: map[string]string{"a.example.com": ""},
		result: map[string]dmarc.Code{"a.example.com": dmarc.Pass, "x.a.example.com": dmarc.TempError, "": dmarc.Fail, "example.net": dmarc.Fail}},
	{name: "T13", zone: []string{servfail("_dmarc.example.com")}, author: "a.example.com", queries: 3,
		org:    map[string]string{"a.example.com": ""},
		result: map[string]dmarc.Code{"": dmarc.TempError, "a.example.com": dmarc.TempError}},
	{name: "T14", author: "a.example.com", queries: 3, org: map[string]string{"a.example.com": "a.example.com", "example.com": "example.com"},
		result: map[string]dmarc.Code{"": dmarc.None, "example.com": dmarc.None}},
	{name: "T16", zone: []string{"e.f.g.h.i.j.k.com p=reject"}, author: "d.e.f.g.h.i.j.k.com", queries: 8,
		org:    map[string]string{"d.e.f.g.h.i.j.k.com": "d.e.f.g.h.i.j.k.com", "e.f.g.h.i.j.k.com": "e.f.g.h.i.j.k.com"},
		result: map[string]dmarc.Code{"": dmarc.None}},
	{name: "public suffix of two labels, guarded", guard: true, zone: []string{"uk p=none", "co.uk p=reject", "a.co.uk p=none; sp=quarantine"},
		author: "x.a.co.uk", policy: "a.co.uk", effect: "quarantine", queries: 4,
		org:    map[string]string{"x.a.co.uk": "a.co.uk", "b.co.uk": "b.co.uk", "co.uk": "co.uk"},
		result: map[string]dmarc.Code{"b.a.co.uk": dmarc.Pass, "b.co.uk": dmarc.Fail}},
	{name: "two registries publish, a third does not answer", guard: true, zone: []string{"co.uk p=reject", servfail("_dmarc.uk")},
		author: "a.co.uk", policy: "co.uk", effect: "reject", queries: 3, org: map[string]string{"a.co.uk": "a.co.uk"},
		result: map[string]dmarc.Code{"": dmarc.Fail, "b.a.co.uk": dmarc.Pass, "b.co.uk": dmarc.Fail}},
	{name: "a private suffix is an organization", guard: true, zone: []string{"github.io p=none; sp=reject"}, author: "me.github.io",
		policy: "github.io", effect: "reject", queries: 3, org: map[string]string{"me.github.io": "github.io"},
		result: map[string]dmarc.Code{"you.github.io": dmarc.Pass}},
	{name: "policy domain above a long Organizational Domain", zone: []string{"c.d.e.f.g.h.example psd=y; p=reject"},
		author: "z.a.b.c.d.e.f.g.h.example", policy: "c.d.e.f.g.h.example", effect: "reject", queries: 2,
		org:    map[string]string{"z.a.b.c.d.e.f.g.h.example": "b.c.d.e.f.g.h.example"},
		result: map[string]dmarc.Code{"b.c.d.e.f.g.h.example": dmarc.Pass, "a.c.d.e.f.g.h.example": dmarc.Fail}},
}

func TestWalk(t *testing.T) {
	for _, tt := range walkTests {
		t.Run(tt.name, func(t *testing.T) {
			dns := &counter{next: zone(t, tt.zone...)}
			e := &dmarc.Evaluator{Resolver: dns, NoGuard: !tt.guard}
			r := e.Discover(context.Background(), domain.Name(tt.author))
			if r.PolicyDomain != tt.policy || r.Policy != tt.effect {
				t.Errorf("%s takes %q from %q, want %q from %q", tt.author, r.Policy, r.PolicyDomain, tt.effect, tt.policy)
			}
			if r.Queries != tt.queries || len(r.Walk) != tt.queries || dns.total() != tt.queries {
				t.Errorf("queries = %d, asked %v, want %d", r.Queries, dns.seen, tt.queries)
			}
			for name, want := range tt.org {
				if got := e.Discover(context.Background(), domain.Name(name)).OrgDomain; got != want {
					t.Errorf("Organizational Domain of %s = %q, want %q", name, got, want)
				}
			}
			for id, want := range tt.result {
				var list []string
				if id != "" {
					list = []string{"dkim:" + id}
				}
				if got := evaluate(t, e, tt.author, list...); got.Code != want {
					t.Errorf("%s with %q: %s (%s %s), want %s", tt.author, id, got.Code, got.Reason, got.Problem, want)
				}
			}
		})
	}
}

// RFC 9989 §4.10: the names of its example, and each name once for all walks.
func TestWalkNames(t *testing.T) {
	dns := &counter{next: zone(t, "example.com p=reject")}
	e := &dmarc.Evaluator{Resolver: dns}
	r := evaluate(t, e, "a.b.c.d.e.f.g.h.i.j.mail.example.com", "spf:x.mail.example.com", "dkim:x.mail.example.com", "dkim:example.com")
	want := []string{"_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com", "_dmarc.g.h.i.j.mail.example.com", "_dmarc.h.i.j.mail.example.com",
		"_dmarc.i.j.mail.example.com", "_dmarc.j.mail.example.com", "_dmarc.mail.example.com", "_dmarc.example.com", "_dmarc.com"}
	if len(r.Walk) != len(want) {
		t.Fatalf("%d steps, want %d", len(r.Walk), len(want))
	}
	asked := map[string]int{"_dmarc.x.mail.example.com TXT": 1}
	for i, st := range r.Walk {
		if st.Name != want[i] {
			t.Errorf("step %d asks %s, want %s", i, st.Name, want[i])
		}
		asked[want[i]+" TXT"] = 1
	}
	if !maps.Equal(dns.seen, asked) {
		t.Errorf("asked %v, want %v", dns.seen, asked)
	}
	if len(r.Aligned) != 3 || r.Code != dmarc.Pass {
		t.Errorf("%s, aligned %v", r.Code, r.Aligned)
	}
}
