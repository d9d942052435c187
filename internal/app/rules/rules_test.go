package rules

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal"
	"postseal/message"
	"postseal/resolver/dnstest"
)

var now = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// mail is one message with its envelope. Files are those of testdata/mail.
type mail struct {
	file, text     string
	ip, helo, from string
	user           string
	zone           string // besides mail.zone
}

var (
	invoice    = mail{file: "invoice", ip: "192.0.2.25", helo: "out.acme.test", from: "bounce@acme.test"}
	forged     = mail{file: "forged", ip: "203.0.113.7", helo: "host-7.cheap.example", from: "security@bank.test"}
	list       = mail{file: "list", ip: "198.51.100.77", helo: "mail.lists.example.net", from: "anvils-bounces@lists.example.net"}
	keydown    = mail{file: "keydown", ip: "203.0.113.40", helo: "relay.forwarder.example", from: "robin@forwarder.example"}
	twoFrom    = mail{file: "two-from", ip: "203.0.113.7", helo: "host-7.cheap.example", from: "mallory@cheap.example"}
	plain      = mail{file: "plain", ip: "192.0.2.90", helo: "mail.nodmarc.example", from: "sam@nodmarc.example"}
	submission = mail{file: "forged", ip: "203.0.113.7", helo: "laptop", from: "security@bank.test", user: "erin"}
	fakeList   = mail{text: "From: a@bank.test\r\nList-Id: x <anvils.lists.example.net>\r\n\r\nhi\r\n", ip: "203.0.113.7", helo: "x.test", from: "a@cheap.example"}
	hugeHeader = mail{text: "From: a@acme.test\r\nX: " + strings.Repeat("x", 110<<10) + "\r\n\r\nhi\r\n", ip: "192.0.2.25", helo: "x.test", from: "a@acme.test"}
)

// claims is the forgery from a client whose reverse DNS claims a name.
func claims(name, zone string) mail {
	return mail{file: "forged", ip: "203.0.113.98", helo: "x.test", from: "a@bank.test", zone: "\n98.113.0.203.in-addr.arpa. 60 PTR " + name + ".\n" + zone}
}

// decide runs the engine with the local policy of config.
func decide(t testing.TB, m mail, mode postseal.Enforce, config string) (*postseal.Report, *Policy) {
	t.Helper()
	var c Config
	if err := toml.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	set, problems := Compile(c, now)
	if set == nil {
		t.Fatalf("Compile(%s): %v", config, problems)
	}
	zone, err := os.ReadFile("../../../testdata/zones/mail.zone")
	if err != nil {
		t.Fatal(err)
	}
	z, err := dnstest.Parse(string(zone) + m.zone)
	if err != nil {
		t.Fatal(err)
	}
	policy := &Policy{Base: postseal.EnforcePolicy{Mode: mode}, Set: set}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: z, Policy: policy, SPFOf: set.SPFOf(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	text := m.text
	if m.file != "" {
		octets, err := os.ReadFile("../../../testdata/mail/" + m.file + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		text = string(octets)
	}
	conn := postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(m.ip), 25), User: m.user}
	r, err := postseal.VerifyReader(context.Background(), v, conn, m.helo, m.from, message.NewCRLFReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r, policy
}

func TestDecide(t *testing.T) {
	const (
		accept, quarantine, reject = postseal.Accept, postseal.Quarantine, postseal.Reject
		deferred                   = postseal.Defer
	)
	tests := []struct {
		name     string
		mail     mail
		mode     postseal.Enforce // "" is strict
		config   string
		action   postseal.Action
		applied  postseal.Action
		reason   postseal.Reason
		override string // "type: comment"
		used     int64
	}{
		{"nothing local", forged, "", ``, reject, reject, postseal.DMARCReject, "", 0},
		{"address", forged, "", `exempt = [{ip = "203.0.113.7", why = "scanner"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=203.0.113.7: scanner", 1},
		{"network", forged, "", `exempt = [{ip = "203.0.113.0/24"}]`, accept, accept, postseal.LocalExempt, "trusted_forwarder: exempt 1 ip=203.0.113.0/24", 1},
		{"mapped address in the entry", forged, "", `exempt = [{ip = "::ffff:203.0.113.7"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=::ffff:203.0.113.7", 1},
		{"link-local client with a zone", mail{file: "forged", ip: "fe80::1%eth0", helo: "x.test", from: "a@bank.test"}, "", `exempt = [{ip = "fe80::/10"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=fe80::/10", 1},
		{"other network", forged, "", `exempt = [{ip = "203.0.112.0/24"}, {ip = "::/0"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"the first entry counts, not the narrowest", forged, "", `exempt = [{ip = "203.0.113.0/24"}, {ip = "203.0.113.7", override = "other"}]`,
			accept, accept, postseal.LocalExempt, "trusted_forwarder: exempt 1 ip=203.0.113.0/24", 1},
		{"a wider entry when the narrower one does not match", forged, "", `exempt = [{ip = "203.0.113.7", user = "erin"}, {ip = "203.0.113.0/24"}]`,
			accept, accept, postseal.LocalExempt, "trusted_forwarder: exempt 2 ip=203.0.113.0/24", 1},
		{"exempt mail that passes is not counted", invoice, "", `exempt = [{ip = "192.0.2.0/24"}]`, accept, accept, postseal.DMARCPass, "", 0},
		{"expires while running", forged, "", `exempt = [{ip = "203.0.113.7", until = 2026-11-02}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=203.0.113.7", 1},
		{"expired", forged, "", `exempt = [{ip = "203.0.113.7", until = 2026-11-01}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"user", submission, "", `exempt = [{user = "erin"}]`, accept, accept, postseal.LocalExempt, "local_policy: exempt 1 user=erin", 1},
		{"other user", submission, "", `exempt = [{user = "Erin"}]`, reject, reject, postseal.DMARCReject, "", 0},

		{"signature", list, "", `exempt = [{dkim = "Lists.Example.NET."}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 dkim=Lists.Example.NET.", 1},
		{"a broken signature does not count", list, "", `exempt = [{dkim = "acme.test"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"signature of a parent domain", list, "", `exempt = [{dkim = "example.net"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"spf", list, "", `exempt = [{spf = "lists.example.net"}]`, accept, accept, postseal.LocalExempt, "trusted_forwarder: exempt 1 spf=lists.example.net", 1},
		{"spf that failed", forged, "", `exempt = [{spf = "bank.test"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"list with evidence", list, "", `exempt = [{list_id = "Anvils.lists.example.net", dkim = "lists.example.net"}]`, accept, accept, postseal.LocalExempt,
			"mailing_list: exempt 1 dkim=lists.example.net list_id=Anvils.lists.example.net", 1},
		{"other list", list, "", `exempt = [{list_id = "pianos.lists.example.net", dkim = "lists.example.net"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"forged List-Id without the evidence", fakeList, "", `exempt = [{list_id = "anvils.lists.example.net", spf = "lists.example.net"}]`,
			reject, reject, postseal.DMARCReject, "", 0},
		{"DNS trouble", keydown, "", `exempt = [{spf = "forwarder.example"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 spf=forwarder.example", 1},
		{"a signer does not excuse two authors", twoFrom, "", `exempt = [{dkim = "cheap.example"}, {spf = "cheap.example"}]`,
			reject, reject, postseal.AuthorMalformed, "", 0},
		{"the client excuses two authors", twoFrom, "", `exempt = [{ip = "203.0.113.7"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=203.0.113.7", 1},
		{"an exemption does not lift a limit", hugeHeader, "", "exempt = [{ip = '192.0.2.25'}]\nrule = [{when = 'true', action = 'accept'}]",
			reject, reject, postseal.MessageLimit, "", 0},
		{"name of the client", forged, "", `exempt = [{client = "host-7.Cheap.example"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 client=host-7.Cheap.example", 1},
		{"names below a domain", forged, "", `exempt = [{client = "*.cheap.example"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 client=*.cheap.example", 1},
		{"the domain itself is not below it", forged, "", `exempt = [{client = "*.host-7.cheap.example"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"another name of the client", forged, "", `exempt = [{client = "cheap.example"}, {client = "*.eap.example"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"a claimed name that does not lead back", claims("liar.forwarder.example", ""), "", `exempt = [{client = "*.forwarder.example"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"a claimed name whose zone is down", claims("mx.down.example", "; FAULT mx.down.example A SERVFAIL\n"), "", `exempt = [{client = "*.down.example"}]`,
			deferred, deferred, postseal.LocalExempt, "trusted_forwarder: exempt 1 client=*.down.example: a DNS lookup for it failed", 0},
		{"reverse DNS that is down says nothing", mail{file: "forged", ip: "203.0.113.99", helo: "x.test", from: "a@bank.test", zone: "; FAULT 99.113.0.203.in-addr.arpa PTR SERVFAIL\n"},
			"", `exempt = [{client = "*.forwarder.example"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"the client is listed by the SPF of a domain", forged, "", `exempt = [{spf_of = "cheap.example"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 spf_of=cheap.example", 1},
		{"the SPF of a domain does not list the client", forged, "", `exempt = [{spf_of = "forwarder.example"}, {spf_of = "nothing.example"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"the SPF of a domain cannot be looked up", mail{file: "forged", ip: "203.0.113.7", helo: "x.test", from: "a@bank.test", zone: "; FAULT down.example TXT SERVFAIL\n"},
			"", `exempt = [{spf_of = "down.example"}]`, deferred, deferred, postseal.LocalExempt, "trusted_forwarder: exempt 1 spf_of=down.example: a DNS lookup for it failed", 0},
		{"an entry that is open does not stand before one that matches", mail{file: "forged", ip: "203.0.113.7", helo: "x.test", from: "a@bank.test", zone: "; FAULT down.example TXT SERVFAIL\n"},
			"", `exempt = [{spf_of = "down.example"}, {ip = "203.0.113.7"}]`, accept, accept, postseal.LocalExempt, "trusted_forwarder: exempt 2 ip=203.0.113.7", 1},
		{"a rule that rejects while an exemption is open", mail{file: "plain", ip: "192.0.2.90", helo: "x.test", from: "sam@nodmarc.example", zone: "; FAULT down.example TXT SERVFAIL\n"},
			"", "exempt = [{spf_of = 'down.example'}]\nrule = [{when = 'true', action = 'reject'}]", deferred, deferred, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 spf_of=down.example: a DNS lookup for it failed", 1},
		{"author", forged, "", `exempt = [{ip = "203.0.113.7", author = "Bank.test"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 ip=203.0.113.7 author=Bank.test", 1},
		{"other author", forged, "", `exempt = [{ip = "203.0.113.7", author = "acme.test"}, {ip = "203.0.113.7", author = "test"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"one of two authors", twoFrom, "", `exempt = [{ip = "203.0.113.7", author = "bank.test"}]`, reject, reject, postseal.AuthorMalformed, "", 0},
		{"the client by name excuses two authors", twoFrom, "", `exempt = [{client = "*.cheap.example"}]`, accept, accept, postseal.LocalExempt,
			"trusted_forwarder: exempt 1 client=*.cheap.example", 1},

		{"rule raises", plain, "", `rule = [{name = "no-lunch", when = 'author.domains.exists(d, d.within("nodmarc.example"))', action = "reject", why = "until noon"}]`,
			reject, reject, postseal.LocalRule, "local_policy: rule 1 no-lunch: until noon", 1},
		{"rule in observe mode", plain, postseal.Observe, `rule = [{when = 'true', action = "reject"}]`, reject, accept, postseal.LocalRule,
			"local_policy: observe: nothing is acted upon", 1},
		{"rule in quarantine mode", plain, postseal.EnforceQuarantine, `rule = [{when = 'true', action = "reject"}]`, reject, quarantine, postseal.LocalRule,
			"local_policy: enforce=quarantine: never above quarantine", 1},
		{"rule in guarded mode is carried out", plain, postseal.Guarded, `rule = [{when = 'true', action = "reject"}]`, reject, reject, postseal.LocalRule,
			"local_policy: rule 1", 1},
		{"rule lowers", list, "", `rule = [{when = 'list_id == "anvils.lists.example.net"', action = "quarantine", override = "mailing_list"}]`,
			quarantine, quarantine, postseal.LocalRule, "mailing_list: rule 1", 1},
		{"rule defers", plain, "", `rule = [{when = 'iprev.result != "pass"', action = "defer"}]`, deferred, deferred, postseal.LocalRule, "local_policy: rule 1", 1},
		{"the first true rule counts", list, "", "[[rule]]\nwhen = 'dmarc.result == \"pass\"'\naction = 'defer'\n[[rule]]\nwhen = 'decision.action == \"reject\"'\naction = 'quarantine'\n[[rule]]\nwhen = 'true'\naction = 'accept'",
			quarantine, quarantine, postseal.LocalRule, "local_policy: rule 2", 1},
		{"a rule of the same action changes nothing", forged, "", `rule = [{when = 'spf[0].result == "fail"', action = "reject"}]`,
			reject, reject, postseal.DMARCReject, "", 1},
		{"exempt mail is past the rules", plain, "", "exempt = [{ip = '192.0.2.90'}]\nrule = [{when = 'true', action = 'reject'}]",
			accept, accept, postseal.DMARCNone, "", 0},
		{"an error does not match", forged, "", `rule = [{when = 'spf[7].result == "fail"', action = "accept"}]`, reject, reject, postseal.DMARCReject, "", 0},
		{"expired rule", plain, "", `rule = [{when = 'true', action = "reject", until = 2026-11-01}]`, accept, accept, postseal.DMARCNone, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mode := tt.mode
			if mode == "" {
				mode = postseal.Strict
			}
			r, p := decide(t, tt.mail, mode, tt.config)
			d := r.Decision
			if d.Action != tt.action || d.Applied != tt.applied || d.Reason != tt.reason {
				t.Errorf("Decide = %s, applied %s, %s; want %s, %s, %s", d.Action, d.Applied, d.Reason, tt.action, tt.applied, tt.reason)
			}
			override := ""
			if d.Override != nil {
				override = string(d.Override.Type) + ": " + d.Override.Comment
			}
			if override != tt.override {
				t.Errorf("override = %q, want %q", override, tt.override)
			}
			if sends := d.Applied == reject || d.Applied == deferred; sends != (d.Reply != nil) {
				t.Errorf("applied %s with reply %v", d.Applied, d.Reply)
			}
			if got := total(p.Set); got != tt.used {
				t.Errorf("uses = %d, want %d", got, tt.used)
			}
			if d.Override != nil && !strings.Contains(r.Headers.Add[0].Value, "policy.override-reason="+string(d.Override.Type)) {
				t.Errorf("Authentication-Results do not name the override:%s", r.Headers.Add[0].Value)
			}
		})
	}
}

func total(s *Set) (n int64) {
	for _, u := range s.Uses() {
		n += u.Count
	}
	return n
}

// TestExpressions reads every variable once, with the value that the verify JSON has.
func TestExpressions(t *testing.T) {
	tests := []struct {
		mail mail
		when string
	}{
		{invoice, `decision.action == "accept" && decision.reason == "dmarc.pass"`},
		{invoice, `spf.size() == 2 && spf[0].identity == "mailfrom" && spf[0].domain == "acme.test" && spf[0].mechanism == "ip4:192.0.2.0/26"`},
		{invoice, `spf.all(s, s.lookups <= 10 && s.void_lookups == 0)`},
		{invoice, `dkim.exists(s, s.result == "pass" && s.domain == "acme.test" && s.selector == "s2026" && s.key_bits == 2048 && !s.test_mode)`},
		{invoice, `dkim[0].signed_fields.exists(f, f.matches("(?i)^from$")) && dkim[0].body_length == -1 && dkim[0].canonicalization == "relaxed/relaxed"`},
		{invoice, `dmarc.policy == "reject" && dmarc.published.p == "reject" && dmarc.aligned.exists(a, a.method == "dkim") && dmarc.queries >= 1`},
		{invoice, `arc.result == "none" && arc.sealers == []`},
		{invoice, `iprev.result == "pass" && iprev.name == "out.acme.test"`},
		{invoice, `author.domains == ["acme.test"] && author.reason == ""`},
		{invoice, `client.ip == "192.0.2.25" && client.helo == "out.acme.test" && client.user == "" && !client.tls`},
		{invoice, `cidr("192.0.2.0/24").containsIP(client.ip) && !cidr("2001:db8::/32").containsIP(client.ip)`},
		{invoice, `envelope.from == "bounce@acme.test" && envelope.rcpt.size() == 0`},
		{invoice, `client.helo.within("acme.test") && !"evil-acme.test".within("acme.test") && "acme.test".within("Acme.Test")`},
		{invoice, `client.helo.matches("^out\\.")`},
		{list, `list_id == "anvils.lists.example.net"`},
		{twoFrom, `author.reason != "" && decision.reason == "author.malformed"`},
	}
	for _, tt := range tests {
		t.Run(tt.when, func(t *testing.T) {
			r, p := decide(t, tt.mail, postseal.Strict, "[[rule]]\naction = 'defer'\nwhen = '''"+tt.when+"'''")
			if r.Decision.Reason != postseal.LocalRule {
				t.Errorf("the rule is not true: decision %+v, uses %+v", r.Decision, p.Set.Uses())
			}
		})
	}
}

// TestRuleErrors: a rule that cannot be evaluated is counted and reported.
func TestRuleErrors(t *testing.T) {
	for _, when := range []string{
		`spf[7].result == "fail"`,
		`cidr("192.0.2.0/24").containsIP(client.helo)`,
		`"a.test".within(client.helo + "..")`,
	} {
		var c Config
		c.Rule = []Rule{{When: when, Action: "accept"}}
		set, problems := Compile(c, now)
		if set == nil {
			t.Errorf("Compile(%.60s): %v", when, problems)
			continue
		}
		var told string
		p := &Policy{Base: postseal.EnforcePolicy{Mode: postseal.Strict}, Set: set, OnError: func(entry string, err error) { told = entry + ": " + err.Error() }}
		r, _ := decide(t, forged, postseal.Strict, ``)
		if d := p.Decide(r); d.Reason != postseal.DMARCReject {
			t.Errorf("%.60s: Decide = %+v", when, d)
		}
		if u := set.Uses()[0]; u.Errors != 1 || u.Count != 0 || told == "" {
			t.Errorf("%.60s: uses %+v, told %q", when, u, told)
		}
	}
}
