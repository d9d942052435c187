package audit_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"postseal/audit"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// shapes are records as large senders build them: the structure is theirs, names and
// addresses are not.
const shapes = `$TTL 300
; an include that leads to three lists of networks
mailbox.test. TXT "v=spf1 redirect=_spf.mailbox.test"
_spf.mailbox.test. TXT "v=spf1 include:_netblocks.mailbox.test include:_netblocks2.mailbox.test include:_netblocks3.mailbox.test ~all"
_netblocks.mailbox.test. TXT "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/25 ~all"
_netblocks2.mailbox.test. TXT "v=spf1 ip6:2001:db8:4000::/36 ip6:2001:db8:4860::/48 ~all"
_netblocks3.mailbox.test. TXT "v=spf1 ip4:192.0.2.0/27 ~all"
; one long list
office.test. TXT "v=spf1 include:spf.protection.office.test -all"
spf.protection.office.test. TXT "v=spf1 ip4:192.0.2.0/26 ip4:198.51.100.0/25 ip6:2001:db8:100::/48 ip6:2001:db8:200::/48 -all"
; a macro of the client's address
crm.test. TXT "v=spf1 exists:%{i}._spf.mta.crm.test -all"
192.0.2.55._spf.mta.crm.test. A 127.0.0.1
; a filter service with a record for each client
filter.test. TXT "v=spf1 include:%{ir}.%{v}.%{d}.spf.has.filter.test -all"
55.2.0.192.in-addr.filter.test.spf.has.filter.test. TXT "v=spf1 ip4:192.0.2.55 ~all"
*.filter.test.spf.has.filter.test. TXT "v=spf1 ~all"
; macros of the sender, as DNS lists of users
users.test. TXT "v=spf1 exists:%{l}.%{o}.%{i}._i.users.test ?include:mailbox.test ~all"
; hosting: mx and a next to the include of the hoster
shop.test. TXT "v=spf1 +a +mx +include:relay.shop.test ~all"
shop.test. A 192.0.2.80
shop.test. MX 10 mail.shop.test.
mail.shop.test. A 192.0.2.81
relay.shop.test. TXT "v=spf1 ip4:203.0.113.128/26 ?all"
; many services
startup.test. TXT "v=spf1 include:mailbox.test include:office.test include:crm.test include:filter.test include:shop.test ~all"
`

func TestShapes(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.55")
	for _, test := range []struct {
		name       string
		lookups    int
		v4         string
		sample     string // what check_host() says to the client
		expanded   string
		ids, never string
	}{
		{"mailbox.test", 4, "416", "softfail", "", "", "spf.all-missing"},
		{"office.test", 1, "192", "pass", "", "", ""},
		{"crm.test", 1, "0", "pass", "192.0.2.55._spf.mta.crm.test", "", "spf.sender-macro spf.stranger-passes"},
		{"filter.test", 1, "0", "pass", "55.2.0.192.in-addr.filter.test.spf.has.filter.test", "", "spf.include-broken"},
		{"users.test", 6, "0", "softfail", "postmaster.users.test.192.0.2.55._i.users.test", "spf.sender-macro", "spf.stranger-passes"},
		{"shop.test", 3, "66", "softfail", "", "", "spf.redundant-range"},
		{"startup.test", 15, "514", "pass", "", "spf.lookup-limit", ""},
	} {
		r := auditZone(t, shapes, test.name, audit.Options{Samples: []netip.Addr{client}})
		s := &r.Records.SPF
		sample := s.Samples[len(s.Samples)-1]
		if s.Lookups != test.lookups || s.Addresses4 != test.v4 || sample.Result != test.sample || test.expanded != "" && strings.Join(sample.Expanded, " ") != test.expanded {
			t.Errorf("%s: %d lookups, %s addresses, sample %+v", test.name, s.Lookups, s.Addresses4, sample)
		}
		for id := range strings.FieldsSeq(test.ids) {
			if finding(r, id) == nil {
				t.Errorf("%s: no %s; found %s", test.name, id, ids(r))
			}
		}
		for id := range strings.FieldsSeq(test.never) {
			if f := finding(r, id); f != nil {
				t.Errorf("%s: %s: %s", test.name, id, f.Detail)
			}
		}
	}
}

// randomZone makes a record of a.test with includes, hosts and addresses, some of them dead
// or reached twice.
func randomZone(r *rand.Rand) string {
	var z strings.Builder
	z.WriteString("$TTL 60\n")
	for i := range 6 {
		fmt.Fprintf(&z, "h%d.test. A 192.0.2.%d\nh%d.test. AAAA 2001:db8::%d\n", i, 1+i*9, i, i)
		terms := []string{"v=spf1"}
		for range r.IntN(4) {
			switch r.IntN(3) {
			case 0:
				terms = append(terms, fmt.Sprintf("ip4:198.51.100.%d/%d", r.IntN(8)*32, 27+r.IntN(6)))
			case 1:
				terms = append(terms, fmt.Sprintf("a:h%d.test", r.IntN(6)))
			case 2:
				if i < 5 {
					terms = append(terms, fmt.Sprintf("include:s%d.test", i+1+r.IntN(5-i)))
				}
			}
		}
		fmt.Fprintf(&z, "s%d.test. TXT \"%s ~all\"\n", i, strings.Join(terms, " "))
	}
	terms := []string{"v=spf1"}
	for range 3 + r.IntN(7) {
		terms = append(terms, []string{fmt.Sprintf("include:s%d.test", r.IntN(6)), fmt.Sprintf("a:h%d.test", r.IntN(9)), fmt.Sprintf("ip4:192.0.2.%d", r.IntN(60)), "mx", "ptr"}[r.IntN(5)])
	}
	fmt.Fprintf(&z, "a.test. TXT \"%s -all\"\na.test. MX 1 h1.test.\n", strings.Join(terms, " "))
	return z.String()
}

// TestPlan: a proposed record is within the limits, and lets the same addresses pass.
func TestPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	proposed := 0
	for range 400 {
		zone := randomZone(r)
		before := auditZone(t, zone, "a.test", audit.Options{})
		s := &before.Records.SPF
		z, err := dnstest.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		// What the tree counts, a check counts that nothing stops.
		c := &spf.Checker{Resolver: z, Limits: spf.Limits{Lookups: 1000, VoidLookups: 1000}}
		res := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("203.0.113.99"), Sender: "x@a.test", Helo: "h"})
		if res.Code == spf.Fail && res.Lookups != s.Lookups {
			t.Fatalf("the tree counts %d lookups, the check %d:\n%s", s.Lookups, res.Lookups, zone)
		}
		if s.Proposed == "" {
			continue
		}
		proposed++
		i := strings.Index(zone, "a.test. TXT \"v=spf1 ")
		end := i + strings.IndexByte(zone[i:], '\n')
		after := auditZone(t, zone[:i]+"a.test. TXT \""+s.Proposed+"\""+zone[end:], "a.test", audit.Options{})
		if n := &after.Records.SPF; n.Lookups > 10 || n.Addresses4 != s.Addresses4 || n.Addresses6 != s.Addresses6 || n.Tree.Result != "" {
			t.Fatalf("%q for %q: %d lookups, %s and %s addresses instead of %s and %s", s.Proposed, s.Record, n.Lookups, n.Addresses4, n.Addresses6, s.Addresses4, s.Addresses6)
		}
	}
	if proposed < 20 {
		t.Errorf("only %d records were proposed", proposed)
	}
}
