package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
	"postseal/internal/core/dnszone"
	"postseal/resolver"
)

// The zone of a company with the mailboxes of a provider, as it will be published.
const planned = `$TTL 300
$ORIGIN a.test.
@ SOA ns.a.test. h.a.test. 1 2 3 4 300
@ TXT "v=spf1 include:_spf.mailbox.test ~all"
@ MX 1 mx1.mailbox.test.
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:d@a.test"
s1._domainkey CNAME s1.dkim.mailbox.test.
`

const provider = `$TTL 300
_spf.mailbox.test. TXT "v=spf1 ip4:192.0.2.0/24 ~all"
mx1.mailbox.test. A 192.0.2.1
1.2.0.192.in-addr.arpa. PTR mx1.mailbox.test.
`

// TestUnpublished: names of the zone come from the file, all others from the DNS.
func TestUnpublished(t *testing.T) {
	file, err := dnszone.Parse(planned)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := dnszone.Parse(provider + strings.Replace(sane[strings.Index(sane, "s1._domainkey"):], "s1._domainkey.a.test", "s1.dkim.mailbox.test", 1) + "_dmarc.a.test. TXT \"v=DMARC1; p=none\"\n")
	if err != nil {
		t.Fatal(err)
	}
	o := audit.Options{Selectors: []audit.Selector{{Name: "s1", Source: audit.FromFlag}}}
	r := (&audit.Auditor{Resolver: &audit.Unpublished{Zones: file, DNS: dns}}).Audit(t.Context(), "a.test", o)
	if r.Grade != "A" || r.Records.DMARC.Policy != "reject" || r.Records.SPF.Addresses4 != "256" || len(r.Records.DKIM) != 1 || r.Records.DKIM[0].Type != "rsa" {
		t.Errorf("grade %q, %s; found %s; DKIM %+v; %+v", r.Grade, r.GradeReason, ids(r), r.Records.DKIM, r.Unchecked)
	}
}

// TestOffline: a name outside of the zones is not looked up, and that is not a finding.
func TestOffline(t *testing.T) {
	file, err := dnszone.Parse(planned)
	if err != nil {
		t.Fatal(err)
	}
	o := audit.Options{Selectors: []audit.Selector{{Name: "s1", Source: audit.FromFlag}}}
	r := (&audit.Auditor{Resolver: &audit.Unpublished{Zones: file}}).Audit(t.Context(), "a.test", o)
	for _, f := range r.Findings {
		if f.Severity != audit.Info {
			t.Errorf("found %s: %s", f.ID, f.Detail)
		}
	}
	if r.Grade != "" || !strings.Contains(r.GradeReason, "not looked up") || len(r.Publish) != 0 {
		t.Errorf("grade %q, %q; publish %+v", r.Grade, r.GradeReason, r.Publish)
	}
	for _, u := range r.Unchecked {
		if u.Kind != resolver.Missing {
			t.Errorf("%+v", u)
		}
	}
	checkSchema(t, compiled(t), r)
}
