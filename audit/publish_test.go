package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
)

// published writes what an audit says to publish, a line each.
func published(r *audit.Report) string {
	var b strings.Builder
	for _, p := range r.Publish {
		b.WriteString(p.Name + " " + p.Type + " " + p.Value + "\n")
	}
	for _, n := range r.NoRecord {
		b.WriteString(n.Name + " none: " + n.Reason + "\n")
	}
	return b.String()
}

// TestPublish: one record for each name, with all that its owner meant.
func TestPublish(t *testing.T) {
	const base = "$TTL 60\na.test. MX 10 mx.a.test.\nmx.a.test. A 198.51.100.1\n1.100.51.198.in-addr.arpa. PTR mx.a.test.\n"
	const spfOK, dmarcOK = "a.test. TXT \"v=spf1 mx ~all\"\n", "_dmarc.a.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@a.test\"\n"
	for _, test := range []struct{ name, zone, want string }{
		{"nothing to mend", spfOK + dmarcOK, ""},
		{"two faults, one record", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=none; sp=reject, rau=d@a.test; mailto:e@a.test\"\n",
			"_dmarc.a.test TXT v=DMARC1; p=none; sp=reject; rua=mailto:d@a.test,mailto:e@a.test\n"},
		{"all faults together", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; policy=reject, rau=d@a.test; mailto:e@a.test; pct=50\"\n",
			"_dmarc.a.test TXT v=DMARC1; p=reject; rua=mailto:d@a.test,mailto:e@a.test\n"},
		{"an address for nothing", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=block; mailto:e@a.test\"\n", "_dmarc.a.test none: \"mailto:e@a.test\" is an address without a tag that says what it is for\n"},
		{"misspelled tags", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; policy=reject, rau=d@a.test mailto:e@a.test; pct=50\"\n",
			"_dmarc.a.test TXT v=DMARC1; p=reject; rua=mailto:d@a.test,mailto:e@a.test\n"},
		{"BOM", "a.test. TXT \"\\239\\187\\191v=spf1 include:x.test include:y.test ~all\"\nx.test. TXT \"v=spf1 ip4:192.0.2.1 ~all\"\ny.test. TXT \"v=spf1 ip4:192.0.2.2 ~all\"\n" + dmarcOK,
			"a.test TXT v=spf1 include:x.test include:y.test ~all\n"},
		{"glued all", "a.test. TXT \"v=spf1 include:_spf.x.test-all\"\n" + dmarcOK, "a.test TXT v=spf1 include:_spf.x.test -all\n"},
		{"two SPF records", "a.test. TXT \"v=spf1 include:x.test ~all\"\na.test. TXT \"v=spf1 mx -all\"\n" + dmarcOK, "a.test TXT v=spf1 include:x.test mx ~all\n"},
		{"loop", "a.test. TXT \"v=spf1 include:a.test ~all\"\n" + dmarcOK, "a.test none: without the terms that resolve to nothing, the record names no sender: list the hosts that send\n"},
		{"apex", spfOK + "a.test. TXT \"v=DMARC1; p=reject\"\n", "_dmarc.a.test TXT v=DMARC1; p=reject\n"},
		{"without underscore", spfOK + "dmarc.a.test. TXT \"v=DMARC1; p=reject\"\n", "_dmarc.a.test TXT v=DMARC1; p=reject\n"},
		{"name twice", spfOK + "_dmarc.a.test.a.test. TXT \"v=DMARC1; p=reject\"\n", "_dmarc.a.test TXT v=DMARC1; p=reject\n"},
		{"two policies", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=reject\"\n_dmarc.a.test. TXT \"v=DMARC1; p=none\"\n",
			"_dmarc.a.test none: \"p\" has the values reject and none: which is meant is not clear\n"},
		{"reports first", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=none\"\n", "_dmarc.a.test TXT v=DMARC1; p=none; rua=mailto:dmarc@a.test\n"},
		{"test mode of none", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=none; t=y; rua=mailto:d@a.test\"\n", "_dmarc.a.test TXT v=DMARC1; p=quarantine; rua=mailto:d@a.test\n"},
		{"U-label", spfOK + "_dmarc.a.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@m\\195\\188nchen.test\"\n", "_dmarc.a.test TXT v=DMARC1; p=reject; rua=mailto:d@xn--mnchen-3ya.test\n"},
		{"MTA-STS", spfOK + dmarcOK + "_mta-sts.a.test. TXT \"\\\"v=STSV1 id=2026-01-01\\\"\"\n", "_mta-sts.a.test TXT v=STSv1; id=20260101;\n"},
		{"TLS-RPT twice", spfOK + dmarcOK + "_smtp._tls.a.test. TXT \"v=TLSRPTv1; rua=mailto:a@a.test\"\n_smtp._tls.a.test. TXT \"v=TLSRPTv1; rua=mailto:b@a.test\"\n",
			"_smtp._tls.a.test TXT v=TLSRPTv1; rua=mailto:a@a.test,mailto:b@a.test\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := auditZone(t, base+test.zone, "a.test", audit.Options{})
			if got := published(r); got != test.want {
				t.Errorf("got\n%s; want\n%s; found %s", got, test.want, ids(r))
			}
			checkSchema(t, compiled(t), r)
		})
	}
}

// TestOneRecord: no name has two publications, and each finding that one fixes says the same.
func TestOneRecord(t *testing.T) {
	r := auditZone(t, "$TTL 60\na.test. TXT \"v=spf1 a:gone.test a:gone2.test mx ?all\"\na.test. MX 1 mx.a.test.\nmx.a.test. A 192.0.2.1\n", "a.test", audit.Options{})
	seen := map[string]bool{}
	for _, p := range r.Publish {
		if seen[p.Name+p.Type] {
			t.Errorf("%s has two records", p.Name)
		}
		seen[p.Name+p.Type] = true
	}
	for _, f := range r.Findings {
		if f.Publish != "" && f.Publish != "v=spf1 mx ~all" && f.ID != "dmarc.missing" {
			t.Errorf("%s says %q", f.ID, f.Publish)
		}
	}
	if len(r.Publish) != 2 {
		t.Errorf("%+v", r.Publish)
	}
}
