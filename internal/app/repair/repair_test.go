package repair

import "testing"

func TestDMARC(t *testing.T) {
	const plain = "v=DMARC1; p=reject; rua=mailto:d@acme.test"
	for _, test := range []struct{ text, want string }{
		{plain, plain},
		{"v=dmarc1;p=reject;rua=mailto:d@acme.test;", plain},
		{"v=DMARC; p=reject; pct=100; rua=mailto:d@acme.test", plain},
		{"v=DMARCl; p=reject; rua=mailto:d@acme.test; sp- reject; aspf-s; adkim=s; ri=604800", "v=DMARC1; p=reject; sp=reject; adkim=s; aspf=s; rua=mailto:d@acme.test"},
		{"p=reject;rua=mailto:d@acme.test;ruf=mailto:d@acme.test", plain + "; ruf=mailto:d@acme.test"},
		{"v=DMARC1, p=reject, rua=mailto:d@acme.test", plain},
		{"v=DMARC1 p=reject rua=mailto:d@acme.test", plain},
		{"v=DMARC1: p: reject; rua: mailto:d@acme.test", plain},
		{"v=DMARC1; p=reject; rua=d@acme.test", plain},
		{"v=DMARC1; rua=mailto:d@acme.test; p=reject", plain},
		{"v=DMARC1; p=reject; pto=100; rua=mailto:d@acme.test", plain},
		{"v=DMARC1; p=reject; rau=mailto:d@acme.test", plain},
		{"v=DMARC1; policy=reject; rua=mailto:d@acme.test", plain},
		{"v=DMARC1; polcy=rejct; rua=mailto:d@acme.test", plain},
		{"v=DMARC1; p:reject; rua=mailto:d@acme.test", plain},
		{"\"v=DMARC1; p=reject; rua=mailto:d@acme.test\"", plain},
		{"v=DMARC1\\; p=reject\\; rua=mailto:d@acme.test", plain},
		{"\u201cv=DMARC1; p=reject; rua=mailto:d@acme.test\u201d", plain},
		{"\ufeffv=DMARC1; p=reject; rua=mailto:d@acme.test", plain},
		{"v=DMARC1;\u00a0p=reject; rua=mailto:d@acme.test", plain},
		{"v=DMARC1\xa0; p=reject; rua=mailto:d@acme.test", plain},
		{"v=DMARC1&#59; p=reject&#59; rua=mailto:d@acme.test", plain},
		{"v=DMARC1; p=reject; rua=&lt;mailto:d@acme.test&gt;", plain},
		{"v=DMARC1; p=reject; rua=<a href=\"mailto:d@acme.test\">d@acme.test</a>", plain},
		{"<p>v=DMARC1; p=reject; rua=mailto:d@acme.test</p>", plain},
		{"TXT v=DMARC1; p=reject; rua=mailto:d@acme.test", plain},
		{"_dmarc.acme.test. 3600 IN TXT v=DMARC1; p=reject; rua=mailto:d@acme.test", plain},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test,mailto:d@acme.test!10m", plain},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test;mailto:e@acme.test", plain + ",mailto:e@acme.test"},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test mailto:e@acme.test", plain + ",mailto:e@acme.test"},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test, e@acme.test", plain + ",mailto:e@acme.test"},
		{"v=DMARC1; p=reject; rua=mailto: d@acme.test", plain},
		{"v=DMARC1; p=reject; rua=mailto://d@acme.test", plain},
		{"v=DMARC1; p=reject; rua=mailto:p-list@acme.test,p-x@acme.test", "v=DMARC1; p=reject; rua=mailto:p-list@acme.test,mailto:p-x@acme.test"},
		{"v=DMARC1; p=reject; rua=mailto:d@m\u00fcnchen.test", "v=DMARC1; p=reject; rua=mailto:d@xn--mnchen-3ya.test"},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test v=DMARC1; p=reject; rua=mailto:e@acme.test", plain + ",mailto:e@acme.test"},
		{"v=DMARC1; p=quarantined; sp=Reject; fo=0,1; ruf=mailto:f@acme.test", "v=DMARC1; p=quarantine; sp=reject; fo=1; ruf=mailto:f@acme.test"},
		{"v=DMARC1; p=reject; pct=0; adkim=strict", "v=DMARC1; p=reject; adkim=s; t=y"},
		{"v=DMARC1; p=none; rua=https://reports.test/x", "v=DMARC1; p=none; rua=https://reports.test/x"},
		{"v=DMARC1; reject; rua=mailto:d@acme.test", plain},
		// What has no explanation, or two.
		{"v=DMARC1; p=block; rua=mailto:d@acme.test", ""},
		{"v=DMARC1; p=none; p=reject", ""},
		{"v=DMARC1; p=reject; rua=mailto:dmarc reports@acme.test", ""},
		{"v=DMARC1; p=reject; mailto:d@acme.test", ""},
		{"v=DMARC1; xp=reject; rua=mailto:d@acme.test", ""},
		{"v=DMARC1; p=reject; report=mailto:d@acme.test", ""},
		{"v=DMARC1; rua=mailto:d@acme.test", "v=DMARC1; p=none; rua=mailto:d@acme.test"},
		{"v=DMARC1; p=; rua=mailto:d@acme.test", "v=DMARC1; p=none; rua=mailto:d@acme.test"},
		{"v=DMARC1", "v=DMARC1; p=none"},
		{"v=DMARC1; p=reject; sp=foo", ""},
		{"v=DMARC1; p=reject; rua=mailto:d@acme.test; v=spf1 -all", ""},
		{"v=DMARC1; p=reject; rua=mailto:\xff@acme.test", ""},
		{"", ""},
	} {
		got, err := DMARC(test.text)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("DMARC(%q) = %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	if got, err := DMARC("v=DMARC1; p=none; rua=mailto:a@a.test", "v=DMARC1; p=none; rua=mailto:b@a.test"); got != "v=DMARC1; p=none; rua=mailto:a@a.test,mailto:b@a.test" {
		t.Errorf("two records: %q, %v", got, err)
	}
}

func TestSPF(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"v=spf1 mx ~all", "v=spf1 mx ~all"},
		{"\"v=spf1 mx ~all\"", "v=spf1 mx ~all"},
		{"v=spf1 mx -all;", "v=spf1 mx -all"},
		{"v=spf1mx ~all", "v=spf1 mx ~all"},
		{"v=spf1 mx~all", "v=spf1 mx ~all"},
		{"v=spf1 include:_spf.google.com-all", "v=spf1 include:_spf.google.com -all"},
		{"v=spf1 include:_spf.google.com?all", "v=spf1 include:_spf.google.com ~all"},
		{"v=spf1 include:a.testinclude:b.test -all", "v=spf1 include:a.test include:b.test -all"},
		{"v=spf1 ip4:192.0.2.1ip4:192.0.2.2 -all", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"},
		{"v=spf1 mx,a,ip4:203.0.113.4 ~all", "v=spf1 mx a ip4:203.0.113.4 ~all"},
		{"v=spf1 mx; ip4:203.0.113.4; ~all", "v=spf1 mx ip4:203.0.113.4 ~all"},
		{"v=spf1 ip4: 203.0.113.4 ~all", "v=spf1 ip4:203.0.113.4 ~all"},
		{"v=spf1 mx - all", "v=spf1 mx -all"},
		{"v=spf1 mx \u2013all", "v=spf1 mx -all"},
		{"\ufeffv=spf1 include:a.test include:b.test ~all", "v=spf1 include:a.test include:b.test ~all"},
		{"v=spf1 include=_spf.a.test ~all", "v=spf1 include:_spf.a.test ~all"},
		{"v=spf1 incude:_spf.a.test ~all", "v=spf1 include:_spf.a.test ~all"},
		{"v=spf1 ip:203.0.113.4 ipv4:203.0.113.5 203.0.113.6 ~all", "v=spf1 ip4:203.0.113.4 ip4:203.0.113.5 ip4:203.0.113.6 ~all"},
		{"v=spf1 ip6:203.0.113.4 ip4:2001:db8::1 ~all", "v=spf1 ip4:203.0.113.4 ip6:2001:db8::1 ~all"},
		{"v=spf1 ip4:192.0.2.77/255.255.255.0 ~all", "v=spf1 ip4:192.0.2.0/24 ~all"},
		{"v=spf1 ip4:relay.a.test ~all", "v=spf1 a:relay.a.test ~all"},
		{"v=spf1 include:192.0.2.1 ~all", "v=spf1 ip4:192.0.2.1 ~all"},
		{"v=spf1 mx -all include:_spf.a.test", "v=spf1 mx include:_spf.a.test -all"},
		{"v=spf1 mx ~all redirect=_spf.a.test", "v=spf1 mx include:_spf.a.test ~all"},
		{"v=spf1 redirect=_spf.a.test", "v=spf1 redirect=_spf.a.test"},
		{"v=spf1 mx all", "v=spf1 mx ~all"},
		{"v=spf1 a:http://www.a.test/ ~all", "v=spf1 a:www.a.test ~all"},
		{"v=spf1 include:<_spf.a.test> ~all", "v=spf1 include:_spf.a.test ~all"},
		{"V=SPF1 MX ~ALL", "v=spf1 mx ~all"},
		{"v=spf2 mx ~all", "v=spf1 mx ~all"},
		{"v=spf1 v=spf1 mx ~all", "v=spf1 mx ~all"},
		{"v=spf1 exists:%{i}._spf.%{d} ~all", "v=spf1 exists:%{i}._spf.%{d} ~all"},
		{"v=spf1 a/24 mx:a.test/24//64 ~all", "v=spf1 a/24 mx:a.test/24//64 ~all"},
		{"v=spf1 include:m\u00fcnchen.test ~all", "v=spf1 include:xn--mnchen-3ya.test ~all"},
		{"v=spf1 mx match_subdomains=yes ~all", "v=spf1 mx ~all"},
		{"v=spf1 mx -alll", "v=spf1 mx -all"},
		{"v=spf1 -all", "v=spf1 -all"},
		{"v=spf1 a:2a.mail.test ip6:2a00:a::1 ~all", "v=spf1 a:2a.mail.test ip6:2a00:a::1 ~all"},
		{"v=spf1 mx exp=explain._spf.%{d} -all", "v=spf1 mx -all exp=explain._spf.%{d}"},
		// What has no explanation, or two.
		{"v=spf1 ip4:203.0.113.4/33 ~all", ""},
		{"v=spf1 ip4:203.0.113.4-203.0.113.9 ~all", ""},
		{"v=spf1 ip4:203.0.113 ~all", ""},
		{"v=spf1 _spf.google.com ~all", ""},
		{"v=spf1 exists:%(i)._spf.a.test ~all", ""},
		{"v=spf1 moo=mail.a.test ~all", ""},
		{"v=spf1 redirect=a.test redirect=b.test", ""},
		{"v=spf1", ""},
		{"hello", ""},
		{"", ""},
	} {
		got, err := SPF(test.text)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("SPF(%q) = %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	if got, err := SPF("v=spf1 include:a.test mx ~all", "v=spf1 include:b.test mx -all"); got != "v=spf1 include:a.test mx include:b.test ~all" {
		t.Errorf("two records: %q, %v", got, err)
	}
}
