package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/resolver"
)

// RFC 9989 §4.7, §4.8, §4.10.1: what records are worth. The message has no identifier.
func TestPolicy(t *testing.T) {
	tests := []struct {
		name, record string
		result       dmarc.Code
		policy       dmarc.Policy
		reason       dmarc.Reason
	}{
		{"version alone", "v=DMARC1", dmarc.PermError, "", dmarc.UnusableRecord},
		{"version and separator", "v=DMARC1;", dmarc.PermError, "", dmarc.UnusableRecord},
		{"rua alone", "v=DMARC1; rua=mailto:a@b.c", dmarc.Fail, dmarc.PolicyNone, dmarc.NoIdentifier},
		{"invalid p", "v=DMARC1; p=rejct", dmarc.PermError, "", dmarc.UnusableRecord},
		{"invalid p and rua", "v=DMARC1; p=rejct; rua=mailto:a@b.c", dmarc.Fail, dmarc.PolicyNone, dmarc.NoIdentifier},
		{"invalid p and broken rua", "v=DMARC1; p=rejct; rua=a@b.c", dmarc.PermError, "", dmarc.UnusableRecord},
		{"invalid sp", "v=DMARC1; p=reject; sp=bogus", dmarc.PermError, "", dmarc.UnusableRecord},
		{"invalid np", "v=DMARC1; p=reject; np=bogus", dmarc.PermError, "", dmarc.UnusableRecord},
		{"invalid sp and rua", "v=DMARC1; p=reject; sp=bogus; rua=mailto:a@b.c", dmarc.Fail, dmarc.PolicyNone, dmarc.NoIdentifier},
		{"spaces around =", "V = DMARC1;p=reject", dmarc.Fail, dmarc.PolicyReject, dmarc.NoIdentifier},
		{"lower case version", "v=dmarc1; p=reject", dmarc.None, "", dmarc.NoRecord},
		{"own record, sp and np without effect", "v=DMARC1; p=quarantine; sp=reject; np=reject", dmarc.Fail, dmarc.PolicyQuarantine, dmarc.NoIdentifier},
		{"test mode of reject", "v=DMARC1; p=reject; t=y", dmarc.Fail, dmarc.PolicyQuarantine, dmarc.NoIdentifier},
		{"test mode of quarantine", "v=DMARC1; p=quarantine; t=y", dmarc.Fail, dmarc.PolicyNone, dmarc.NoIdentifier},
		{"test mode of none", "v=DMARC1; p=none; t=y", dmarc.Fail, dmarc.PolicyNone, dmarc.NoIdentifier},
		{"pct has no meaning", "v=DMARC1; p=reject; pct=0", dmarc.Fail, dmarc.PolicyReject, dmarc.NoIdentifier},
		{"a second p does not win", "v=DMARC1; p=reject; p=none", dmarc.Fail, dmarc.PolicyReject, dmarc.NoIdentifier},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &dmarc.Evaluator{Resolver: zone(t, "_dmarc.example.com.\t60 IN TXT \""+tt.record+"\"")}
			r := evaluate(t, e, "example.com")
			if r.Code != tt.result || r.Policy != tt.policy || r.Reason != tt.reason {
				t.Errorf("%s: %s %q %s, want %s %q %s", tt.record, r.Code, r.Policy, r.Reason, tt.result, tt.policy, tt.reason)
			}
			if want := tt.name == "test mode of reject" || tt.name == "test mode of quarantine"; r.TestMode != want {
				t.Errorf("%s: TestMode = %v, want %v", tt.record, r.TestMode, want)
			}
		})
	}
}

// RFC 9989 §3.2.13, §4.7 np, §4.10.1, A.4: which of p, sp and np a subdomain gets.
func TestSubdomainPolicy(t *testing.T) {
	const org = "example.com p=none; sp=quarantine; np=reject"
	exists := func(rr string) []string { return []string{org, rr} }
	tests := []struct {
		name    string
		zone    []string
		policy  dmarc.Policy
		missing bool
		asks    bool // for the domain itself
	}{
		{"NXDOMAIN", []string{org}, dmarc.PolicyReject, true, true},
		{"address", exists("a.example.com.\t60 IN A 192.0.2.1"), dmarc.PolicyQuarantine, false, true},
		{"NODATA, another type", exists("a.example.com.\t60 IN CAA 0 issue \";\""), dmarc.PolicyQuarantine, false, true},
		{"NODATA, empty non-terminal", exists("x.a.example.com.\t60 IN A 192.0.2.1"), dmarc.PolicyQuarantine, false, true},
		{"CNAME to nowhere", exists("a.example.com.\t60 IN CNAME gone.example.net."), dmarc.PolicyQuarantine, false, true},
		{"CNAME to something", []string{org, "a.example.com.\t60 IN CNAME b.example.net.", "b.example.net.\t60 IN A 192.0.2.1"}, dmarc.PolicyQuarantine, false, true},
		{"wildcard", exists("*.example.com.\t60 IN A 192.0.2.1"), dmarc.PolicyQuarantine, false, false},
		{"another TXT at _dmarc", exists("_dmarc.a.example.com.\t60 IN TXT \"hello\""), dmarc.PolicyQuarantine, false, false},
		{"CNAME to nowhere at _dmarc", exists("_dmarc.a.example.com.\t60 IN CNAME gone.example.net."), dmarc.PolicyQuarantine, false, false},
		{"np as sp", []string{"example.com p=none; sp=reject; np=reject"}, dmarc.PolicyReject, false, false},
		{"no np: sp", []string{"example.com p=none; sp=quarantine"}, dmarc.PolicyQuarantine, false, false},
		{"no np, no sp: p", []string{"example.com p=reject"}, dmarc.PolicyReject, false, false},
		{"np without sp", []string{"example.com p=none; np=reject"}, dmarc.PolicyReject, true, true},
		{"np without sp, exists", []string{"example.com p=none; np=reject", "a.example.com.\t60 IN A 192.0.2.1"}, dmarc.PolicyNone, false, true},
		{"np in test mode", []string{"example.com p=none; np=reject; t=y"}, dmarc.PolicyQuarantine, true, true},
		{"public suffix", []string{"com psd=y; p=none; np=reject"}, dmarc.PolicyReject, true, true},
		{"invalid sp, rua", []string{"example.com p=reject; sp=x; np=reject; rua=mailto:a@example.com"}, dmarc.PolicyNone, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := &counter{next: zone(t, tt.zone...)}
			r := evaluate(t, &dmarc.Evaluator{Resolver: dns}, "a.example.com")
			if r.Code != dmarc.Fail || r.Policy != tt.policy || r.NoSuchDomain != tt.missing {
				t.Errorf("%s %q missing=%v, want fail %q missing=%v", r.Code, r.Policy, r.NoSuchDomain, tt.policy, tt.missing)
			}
			if asked := dns.seen["a.example.com TXT"] > 0; asked != tt.asks {
				t.Errorf("asked for the domain itself: %v, want %v", asked, tt.asks)
			}
		})
	}
}

// RFC 9989 §5.3.6: a message that passes needs no policy; one that fails under an unknown
// policy has the weaker one.
func TestExistenceUnknown(t *testing.T) {
	for _, tt := range []struct {
		record string
		weaker dmarc.Policy
	}{{"p=none; sp=quarantine; np=reject", dmarc.PolicyQuarantine}, {"p=reject; np=none", dmarc.PolicyNone}} {
		e := &dmarc.Evaluator{Resolver: zone(t, "example.com "+tt.record, servfail("a.example.com"))}
		r := evaluate(t, e, "a.example.com", "dkim:example.net")
		if r.Code != dmarc.TempError || r.Reason != dmarc.ExistenceUnknown || r.Policy != tt.weaker || r.Problem == "" {
			t.Errorf("%s: %s %s %q %q", tt.record, r.Code, r.Reason, r.Policy, r.Problem)
		}
		if r := evaluate(t, e, "a.example.com", "spf:example.com"); r.Code != dmarc.Pass || r.Problem != "" {
			t.Errorf("%s, aligned: %s %s %q", tt.record, r.Code, r.Reason, r.Problem)
		}
		if r := e.Discover(context.Background(), "a.example.com"); r.Code != "" || r.Reason != dmarc.ExistenceUnknown {
			t.Errorf("%s, Discover: %s %s", tt.record, r.Code, r.Reason)
		}
	}
}

// RFC 9989 §4.4, §3.2.10: strict and relaxed alignment, by mechanism.
func TestAlignment(t *testing.T) {
	tests := []struct {
		name, record, author string
		ids                  []string
		want                 dmarc.Code
	}{
		{"B.1.1 example 1", "p=reject; aspf=s", "example.com", []string{"spf:example.com"}, dmarc.Pass},
		{"B.1.1 example 2", "p=reject", "example.com", []string{"spf:child.example.com"}, dmarc.Pass},
		{"B.1.1 example 2 in strict mode", "p=reject; aspf=s", "example.com", []string{"spf:child.example.com"}, dmarc.Fail},
		{"B.1.1 example 3", "p=reject", "child.example.com", []string{"spf:example.net"}, dmarc.Fail},
		{"B.1.2 example 1", "p=reject; adkim=s", "example.com", []string{"dkim:example.com"}, dmarc.Pass},
		{"B.1.2 example 2", "p=reject", "child.example.com", []string{"dkim:example.com"}, dmarc.Pass},
		{"B.1.2 example 2 in strict mode", "p=reject; adkim=s", "child.example.com", []string{"dkim:example.com"}, dmarc.Fail},
		{"B.1.2 example 3", "p=reject", "child.example.com", []string{"dkim:example.net"}, dmarc.Fail},
		{"B.3.1", "p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com", "example.com", []string{"spf:mail.example.com", "dkim:example.com"}, dmarc.Pass},
		{"adkim says nothing of SPF", "p=reject; adkim=s", "example.com", []string{"spf:child.example.com"}, dmarc.Pass},
		{"aspf says nothing of DKIM", "p=reject; aspf=s", "example.com", []string{"dkim:child.example.com"}, dmarc.Pass},
		{"another mechanism is as DKIM", "p=reject; adkim=s", "example.com", []string{"dkim2:child.example.com"}, dmarc.Fail},
		{"one of two", "p=reject", "example.com", []string{"spf:bounce.example.net", "dkim:example.com"}, dmarc.Pass},
		{"case and dot", "p=reject; adkim=s", "example.com", []string{"dkim:EXAMPLE.com."}, dmarc.Pass},
		{"U-label", "p=reject", "example.com", []string{"dkim:bücher.example.com"}, dmarc.Pass},
		{"not on a label", "p=reject", "example.com", []string{"dkim:evilexample.com"}, dmarc.Fail},
		{"no domain name", "p=reject", "example.com", []string{"dkim:example.net(.example.com", "spf:"}, dmarc.Fail},
		{"unknown and identical", "p=reject", "example.com", []string{"dkim:example.com?"}, dmarc.TempError},
		{"unknown and relaxed", "p=reject", "example.com", []string{"spf:a.example.com?"}, dmarc.TempError},
		{"unknown and strict", "p=reject; aspf=s", "example.com", []string{"spf:a.example.com?"}, dmarc.Fail},
		{"unknown and unaligned", "p=reject", "example.com", []string{"dkim:example.net?"}, dmarc.Fail},
		{"unknown beside a pass", "p=reject", "example.com", []string{"dkim:example.com?", "spf:example.com"}, dmarc.Pass},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &dmarc.Evaluator{Resolver: zone(t, "example.com "+tt.record)}
			r := evaluate(t, e, tt.author, tt.ids...)
			if r.Code != tt.want {
				t.Errorf("%s (%s %s), want %s", r.Code, r.Reason, r.Problem, tt.want)
			}
			if (r.Code == dmarc.TempError) != (r.Reason == dmarc.IdentifierUnknown) || len(r.Compared) != len(tt.ids) {
				t.Errorf("%s with %s, compared %v", r.Code, r.Reason, r.Compared)
			}
		})
	}
}

// RFC 9989 B.2 and B.4: the records of the Domain Owner example, and the walks.
func TestAppendixB(t *testing.T) {
	z := zone(t, "example.com p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@thirdparty.example.net",
		"test.example.com p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y",
		"signing.example.com p=none", "bank.example psd=y; p=none", "giant.bank.example p=reject")
	tests := []struct {
		name, author string
		ids          []string
		want         dmarc.Code
		aligned      []string
		org, policy  string
		effective    dmarc.Policy
	}{
		{"B.2.5", "test.example.com", nil, dmarc.Fail, nil, "example.com", "test.example.com", dmarc.PolicyNone},
		{"B.4.1", "example.com", []string{"spf:example.com", "dkim:signing.example.com"}, dmarc.Pass,
			[]string{"spf:example.com", "dkim:signing.example.com"}, "example.com", "example.com", dmarc.PolicyNone},
		{"B.4.2", "a.b.c.d.e.f.g.h.i.j.k.example.com", []string{"spf:example.com", "dkim:signing.example.com"}, dmarc.Pass,
			[]string{"spf:example.com", "dkim:signing.example.com"}, "example.com", "example.com", dmarc.PolicyNone},
		{"B.4.3", "giant.bank.example", []string{"spf:mail.giant.bank.example", "dkim:mail.mega.bank.example"}, dmarc.Pass,
			[]string{"spf:mail.giant.bank.example"}, "giant.bank.example", "giant.bank.example", dmarc.PolicyReject},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := evaluate(t, &dmarc.Evaluator{Resolver: z}, tt.author, tt.ids...)
			if r.Code != tt.want || r.OrgDomain != tt.org || r.PolicyDomain != tt.policy || r.Policy != tt.effective || !slices.Equal(r.Aligned, ids(tt.aligned...)) {
				t.Errorf("%s, organization %s, policy %q of %s, aligned %v; want %+v", r.Code, r.OrgDomain, r.Policy, r.PolicyDomain, r.Aligned, tt)
			}
		})
	}
}

// RFC 9989 §11.8: the guard says what it did.
func TestGuard(t *testing.T) {
	tests := []struct {
		name    string
		off     bool
		zone    []string
		author  string
		id      string
		want    dmarc.Code
		guarded bool
	}{
		{"registry without psd=y", false, []string{"com p=reject"}, "victim.com", "attacker.com", dmarc.Fail, true},
		{"registry without psd=y, unguarded", true, []string{"com p=reject"}, "victim.com", "attacker.com", dmarc.Pass, false},
		{"the domain has a record", false, []string{"com p=reject", "victim.com p=reject"}, "a.victim.com", "victim.com", dmarc.Pass, true},
		{"registry with psd=y", false, []string{"com p=reject; psd=y"}, "victim.com", "victim.com", dmarc.Pass, false},
		{"no registry", false, []string{"victim.com p=reject"}, "a.victim.com", "victim.com", dmarc.Pass, false},
		{"registry with psd=n", false, []string{"com p=reject; psd=n"}, "victim.com", "attacker.com", dmarc.Fail, true},
		{"registry with psd=n, unguarded", true, []string{"com p=reject; psd=n"}, "victim.com", "attacker.com", dmarc.Pass, false},
		{"top-level domain that no list knows", false, []string{"corp p=reject"}, "a.corp", "b.corp", dmarc.Pass, false},
		{"the suffix itself", false, []string{"uk p=reject"}, "co.uk", "ac.uk", dmarc.Fail, true},
		{"the registry does not answer", false, []string{"a.victim.com p=reject", "victim.com p=reject", servfail("_dmarc.com")}, "a.victim.com", "victim.com", dmarc.Pass, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &dmarc.Evaluator{Resolver: zone(t, tt.zone...), NoGuard: tt.off}
			if r := evaluate(t, e, tt.author, "dkim:"+tt.id); r.Code != tt.want || r.Guard != tt.guarded {
				t.Errorf("%s, guard %v, want %s, %v", r.Code, r.Guard, tt.want, tt.guarded)
			}
		})
	}
}

// RFC 7489 §3.1.1, §3.2, §6.6.3: discovery with the public suffix list.
func TestPublicSuffixList(t *testing.T) {
	tests := []struct {
		name    string
		zone    []string
		author  string
		ids     []string
		want    dmarc.Code
		policy  string
		effect  dmarc.Policy
		queries int
	}{
		{"own record", []string{"a.example.com p=reject"}, "a.example.com", nil, dmarc.Fail, "a.example.com", dmarc.PolicyReject, 1},
		{"organization", []string{"example.co.uk p=none; sp=reject"}, "x.y.example.co.uk", nil, dmarc.Fail, "example.co.uk", dmarc.PolicyReject, 2},
		{"no record on the way counts", []string{"b.example.com p=reject", "com p=reject"}, "a.b.example.com", nil, dmarc.None, "", "", 2},
		{"psd has no meaning", []string{"a.example.com p=reject; psd=n", "example.com p=none; psd=y"}, "a.example.com", []string{"dkim:b.example.com"}, dmarc.Pass, "a.example.com", dmarc.PolicyReject, 1},
		{"alignment without a record", []string{"a.example.com p=reject"}, "a.example.com", []string{"dkim:example.com"}, dmarc.Pass, "a.example.com", dmarc.PolicyReject, 1},
		{"strict", []string{"a.example.com p=reject; adkim=s"}, "a.example.com", []string{"dkim:example.com"}, dmarc.Fail, "a.example.com", dmarc.PolicyReject, 1},
		{"another customer of the registry", []string{"co.uk p=reject", "victim.co.uk p=reject"}, "victim.co.uk", []string{"dkim:attacker.co.uk", "spf:co.uk"}, dmarc.Fail, "victim.co.uk", dmarc.PolicyReject, 1},
		{"another customer of a private suffix", []string{"me.github.io p=reject"}, "me.github.io", []string{"dkim:you.github.io"}, dmarc.Fail, "me.github.io", dmarc.PolicyReject, 1},
		{"several own records end it", []string{"a.example.com p=none", "a.example.com p=none", "example.com p=reject"}, "a.example.com", nil, dmarc.None, "", "", 1},
		{"several records of the organization", []string{"example.com p=none", "example.com p=none"}, "a.example.com", nil, dmarc.None, "", "", 2},
		{"p missing with rua", []string{"example.com rua=mailto:a@example.com"}, "example.com", nil, dmarc.Fail, "example.com", dmarc.PolicyNone, 1},
		{"p missing", []string{"example.com sp=reject"}, "example.com", nil, dmarc.PermError, "example.com", "", 1},
		{"own record unknown", []string{servfail("_dmarc.a.example.com"), "example.com p=reject"}, "a.example.com", []string{"dkim:a.example.com"}, dmarc.TempError, "", "", 1},
		{"organization unknown", []string{servfail("_dmarc.example.com")}, "a.example.com", nil, dmarc.TempError, "", "", 2},
		{"identifier's organization unknown", []string{"a.example.com p=reject", servfail("_dmarc.example.com")}, "a.example.com", []string{"dkim:b.example.com"}, dmarc.Pass, "a.example.com", dmarc.PolicyReject, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := &counter{next: zone(t, tt.zone...)}
			r := evaluate(t, &dmarc.Evaluator{Resolver: dns, Discovery: dmarc.PSL}, tt.author, tt.ids...)
			if r.Code != tt.want || r.PolicyDomain != tt.policy || r.Policy != tt.effect || r.Discovery != dmarc.PSL {
				t.Errorf("%s, %q of %q, want %s, %q of %q", r.Code, r.Policy, r.PolicyDomain, tt.want, tt.effect, tt.policy)
			}
			if r.Queries != tt.queries || dns.total() != tt.queries {
				t.Errorf("%d queries, asked %v, want %d", r.Queries, dns.seen, tt.queries)
			}
		})
	}
}

// More identifiers than are looked up make a temperror, never a fail; SPF comes first.
func TestMaxIdentifiers(t *testing.T) {
	records := []string{"example.com p=reject"}
	var ids []string
	for i := range dmarc.DefaultIdentifiers + 1 {
		name := fmt.Sprintf("d%d.example.com", i)
		records = append(records, name+" p=none; psd=n")
		ids = append(ids, "dkim:"+name)
	}
	e := &dmarc.Evaluator{Resolver: zone(t, records...)}
	if r := evaluate(t, e, "example.com", append(slices.Clone(ids[:dmarc.DefaultIdentifiers]), ids[0])...); r.Code != dmarc.Fail {
		t.Errorf("as many as are looked up: %s %s", r.Code, r.Problem)
	}
	r := evaluate(t, e, "example.com", ids...)
	if r.Code != dmarc.Fail || r.Reason != dmarc.NotAligned {
		t.Errorf("one more: %s %s %q", r.Code, r.Reason, r.Problem)
	}
	list := append(slices.Clone(ids[:dmarc.DefaultIdentifiers]), "spf:d.example.com", "dkim:other.example", "dkim:example.com")
	if r := evaluate(t, e, "example.com", list...); r.Code != dmarc.Pass || len(r.Aligned) != 2 || r.Compared[0].Method != "spf" {
		t.Errorf("SPF last: %s, aligned %v, compared %v", r.Code, r.Aligned, r.Compared)
	}
}

// A name whose record cannot exist has none; it must not make a deferral.
func TestLongName(t *testing.T) {
	label := strings.Repeat("a", 60)
	author := strings.Join([]string{label, label, label, label, "com"}, ".")
	r := evaluate(t, &dmarc.Evaluator{Resolver: zone(t, "com p=reject; psd=y")}, author)
	if r.Code != dmarc.Fail || r.PolicyDomain != "com" || r.OrgDomain != label+".com" {
		t.Errorf("%s, %s, %s %s", r.Code, r.PolicyDomain, r.OrgDomain, r.Problem)
	}
}

func TestNoAuthorDomain(t *testing.T) {
	e := &dmarc.Evaluator{Resolver: zone(t)}
	for _, r := range []dmarc.Result{evaluate(t, e, ""), e.EvaluateAll(context.Background(), nil, nil)} {
		if r.Code != dmarc.PermError || r.Reason != dmarc.NoAuthorDomain {
			t.Errorf("%s %s", r.Code, r.Reason)
		}
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := &dmarc.Evaluator{Resolver: zone(t, "example.com p=reject")}
	r := e.Evaluate(ctx, "example.com", ids("dkim:example.com"))
	if r.Code != dmarc.TempError || r.Reason != dmarc.PolicyUnknown || !errors.Is(r.Walk[0].Err, context.Canceled) {
		t.Errorf("%s %s %v", r.Code, r.Reason, r.Walk)
	}
}

// RFC 9989 §11.5: several author domains, the strictest failure counts.
func TestEvaluateAll(t *testing.T) {
	z := zone(t, "reject.example p=reject", "quarantine.example p=quarantine", "none.example p=none", "broken.example p=x", servfail("_dmarc.silent.example"),
		"a.defer.example p=reject", servfail("_dmarc.defer.example"))
	tests := []struct {
		authors, ids []string
		want         dmarc.Code
		author       string
		policy       dmarc.Policy
	}{
		{[]string{"none.example", "reject.example", "quarantine.example"}, nil, dmarc.Fail, "reject.example", dmarc.PolicyReject},
		{[]string{"reject.example", "quarantine.example"}, []string{"dkim:reject.example"}, dmarc.Fail, "quarantine.example", dmarc.PolicyQuarantine},
		{[]string{"reject.example", "quarantine.example"}, []string{"dkim:reject.example", "spf:quarantine.example"}, dmarc.Pass, "reject.example", dmarc.PolicyReject},
		{[]string{"attacker.example", "reject.example"}, []string{"dkim:attacker.example"}, dmarc.Fail, "reject.example", dmarc.PolicyReject},
		{[]string{"reject.example", "nothing.example"}, []string{"dkim:reject.example"}, dmarc.None, "nothing.example", ""},
		{[]string{"silent.example", "quarantine.example"}, nil, dmarc.Fail, "quarantine.example", dmarc.PolicyQuarantine},
		{[]string{"none.example", "silent.example"}, nil, dmarc.TempError, "silent.example", ""},
		{[]string{"silent.example", "a.defer.example"}, []string{"dkim:x.a.defer.example"}, dmarc.TempError, "a.defer.example", dmarc.PolicyReject},
		{[]string{"broken.example", "none.example"}, nil, dmarc.Fail, "none.example", dmarc.PolicyNone},
		{[]string{"broken.example", "reject.example"}, []string{"spf:reject.example"}, dmarc.PermError, "broken.example", ""},
		{[]string{"1.example", "2.example", "3.example", "4.example", "5.example"}, nil, dmarc.PermError, "1.example", ""},
		{[]string{"1.example", "2.example", "3.example", "reject.example", "5.example"}, nil, dmarc.Fail, "reject.example", dmarc.PolicyReject},
		{[]string{"none.example", "none.example", "none.example", "none.example", "reject.example"}, []string{"spf:none.example"}, dmarc.PermError, "none.example", dmarc.PolicyNone},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.authors, " "), func(t *testing.T) {
			dns := &counter{next: z}
			e := &dmarc.Evaluator{Resolver: dns}
			var authors []domain.Name
			for _, a := range tt.authors {
				authors = append(authors, domain.Name(a))
			}
			r := e.EvaluateAll(context.Background(), authors, ids(tt.ids...))
			if r.Code != tt.want || r.AuthorDomain != tt.author || r.Policy != tt.policy {
				t.Errorf("%s for %s, policy %q; want %s for %s, policy %q", r.Code, r.AuthorDomain, r.Policy, tt.want, tt.author, tt.policy)
			}
			if r.Code != dmarc.Pass && len(r.Aligned) > 0 {
				t.Errorf("%s with %v aligned", r.Code, r.Aligned)
			}
			for q, n := range dns.seen {
				if n > 1 {
					t.Errorf("asked %d times for %s", n, q)
				}
			}
		})
	}
}

// prefetcher notes what it is told.
type prefetcher struct {
	counter
	told map[string]int
}

func (p *prefetcher) Prefetch(name string, t resolver.Type) {
	if p.told == nil {
		p.told = map[string]int{}
	}
	p.told[name+" "+t.String()]++
}

// Everything that a walk asks was told before, and hostile identifiers tell no more than
// the walks that will be made.
func TestPrefetch(t *testing.T) {
	z := zone(t, "example.com p=reject")
	var many []string
	for c := 'a'; c <= 'z'; c++ {
		many = append(many, "dkim:"+string(c)+".example.com")
	}
	for _, discovery := range []dmarc.Discovery{dmarc.TreeWalk, dmarc.PSL} {
		p := &prefetcher{counter: counter{next: z}}
		e := &dmarc.Evaluator{Resolver: p, Discovery: discovery}
		e.Evaluate(context.Background(), "a.b.example.com", ids("dkim:z.example.com"))
		for q := range p.seen {
			if p.told[q] == 0 {
				t.Errorf("%s: nobody was told of %s", discovery, q)
			}
		}
		p.told = nil
		if e.Evaluate(context.Background(), "example.com", ids(many...)); len(p.told) > 2+dmarc.DefaultIdentifiers {
			t.Errorf("%s: told of %d questions", discovery, len(p.told))
		}
	}
}

// The set of reasons is closed.
func TestReasons(t *testing.T) {
	seen := map[dmarc.Reason]bool{}
	for _, r := range dmarc.Reasons() {
		if seen[r] || !strings.HasPrefix(string(r), "dmarc.") {
			t.Errorf("reason %q", r)
		}
		seen[r] = true
	}
}
