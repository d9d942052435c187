package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
)

// providerZones are records as large senders publish them: ranges as wide as theirs, macros,
// redirects and includes of includes. Names and addresses are not theirs.
const providerZones = `$TTL 300
_spf.mailbox.test. TXT "v=spf1 include:_netblocks.mailbox.test include:_netblocks2.mailbox.test ~all"
_netblocks.mailbox.test. TXT "v=spf1 ip4:35.190.0.0/16 ip4:64.233.160.0/19 ip4:74.125.0.0/16 ip4:173.194.0.0/16 ~all"
_netblocks2.mailbox.test. TXT "v=spf1 ip6:2001:4860:4000::/36 ip6:2a00:1450:4000::/36 ~all"
spf.office.test. TXT "v=spf1 ip4:40.92.0.0/15 ip4:40.107.0.0/16 ip4:52.100.0.0/15 ip6:2a01:111:f400::/48 -all"
bulk.test. TXT "v=spf1 ip4:167.89.0.0/17 ip4:149.72.0.0/16 ip4:159.183.0.0/16 include:ab.bulk.test ~all"
ab.bulk.test. TXT "v=spf1 ip4:223.165.118.0/23 ~all"
_spf.crm.test. TXT "v=spf1 exists:%{i}._spf.mta.crm.test -all"
_spf.mta.crm.test. TXT "x"
9.113.111.13._spf.mta.crm.test. A 127.0.0.2
servers.news.test. TXT "v=spf1 ip4:205.201.128.0/20 ip4:198.2.128.0/18 -all"
ses.test. TXT "v=spf1 ip4:199.255.192.0/22 ip4:54.240.0.0/18 ip4:76.223.176.0/20 -all"
suite.test. TXT "v=spf1 include:spf.suite.test -all"
spf.suite.test. TXT "v=spf1 ip4:136.143.184.0/24 ip4:135.84.80.0/24 -all"
_netblocks.filter.test. TXT "v=spf1 include:eu._netblocks.filter.test include:us._netblocks.filter.test -all"
eu._netblocks.filter.test. TXT "v=spf1 ip4:195.130.217.0/24 -all"
us._netblocks.filter.test. TXT "v=spf1 ip4:207.211.31.0/25 -all"
*.a.test.spf.has.gate.test. TXT "v=spf1 ~all"
mail.gun.test. TXT "v=spf1 include:_spf.gun.test ~all"
_spf.gun.test. TXT "v=spf1 ip4:141.193.32.0/23 ip4:161.38.192.0/20 ~all"
*._spf.flat.test. TXT "v=spf1 ip4:192.0.2.0/24 -all"
`

// TestLargeSenders: a domain that uses a large sender as that tells it to, with an enforcing
// policy, has nothing to fix.
func TestLargeSenders(t *testing.T) {
	const rest = `a.test. MX 10 mx.a.test.
mx.a.test. A 198.51.100.1
1.100.51.198.in-addr.arpa. PTR mx.a.test.
_dmarc.a.test. TXT "v=DMARC1; p=quarantine; rua=mailto:d@a.test; pct=100; rf=afrf; ri=86400"
`
	for _, spf := range []string{"include:_spf.mailbox.test ~all", "include:spf.office.test -all", "include:bulk.test ~all", "include:_spf.crm.test ~all",
		"mx include:servers.news.test ~all", "include:ses.test -all", "include:suite.test ~all", "include:_netblocks.filter.test ~all",
		"include:%{ir}.%{v}.%{d}.spf.has.gate.test ~all", "include:mail.gun.test mx ~all", "redirect=_spf.mailbox.test", "include:%{i}._ip.%{h}._ehlo.%{d}._spf.flat.test ~all",
		"include:_spf.mailbox.test include:spf.office.test include:bulk.test ip4:10.0.0.0/8 ~all"} {
		r := auditZone(t, providerZones+rest+sane[strings.Index(sane, "s1._domainkey"):]+"a.test. TXT \"v=spf1 "+spf+"\"\n", "a.test", audit.Options{})
		if r.Grade != "A" {
			t.Errorf("%s: grade %s, %s; found %s", spf, r.Grade, r.GradeReason, ids(r))
		}
		for _, f := range r.Findings {
			if f.Severity != audit.Info {
				t.Errorf("%s: %s: %s", spf, f.ID, f.Detail)
			}
		}
	}
}

// TestDeadMacros: what stands after the last macro does not exist, so that the term leads
// nowhere, for any client.
func TestDeadMacros(t *testing.T) {
	for _, test := range []struct{ spf, want string }{
		{"include:%{i}._ip.%{h}._ehlo.%{d}._spf.gone.test ~all", "spf.include-broken"},
		{"redirect=%{d}._spf.gone.test", "spf.include-broken"},
		{"mx exists:%{i}._i.%{d}._d.gone.test ~all", "spf.dead-term"},
		{"include:%{ir}.%{v}.%{d}.spf.has.gate.test ~all", ""},
		{"exists:%{i}._spf.mta.crm.test ~all", ""},
	} {
		r := auditZone(t, providerZones+"a.test. MX 1 mx.a.test.\nmx.a.test. A 192.0.2.1\na.test. TXT \"v=spf1 "+test.spf+"\"\n", "a.test", audit.Options{})
		for _, id := range []string{"spf.include-broken", "spf.dead-term"} {
			if f := finding(r, id); (f != nil) != (id == test.want) {
				t.Errorf("%s: found %s, want %s", test.spf, ids(r), test.want)
			}
		}
		if free := finding(r, "spf.unregistered") != nil; free != (test.want != "") {
			t.Errorf("%s: found %s", test.spf, ids(r))
		}
	}
}
