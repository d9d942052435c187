package spf_test

import (
	"net/netip"
	"reflect"
	"testing"

	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// TestSameFromEveryResolver: a result does not depend on how the answers come: asked one by
// one, or asked ahead and counted by a ledger.
func TestSameFromEveryResolver(t *testing.T) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	domains := []string{"plain", "six", "chain", "to", "toall", "nowhere", "hollow", "late", "twice", "ten", "tab", "case", "split", "void2", "void3", "mx",
		"noimplicit", "down", "ptrdown", "ptr", "exp", "expinc", "expredir", "exp8", "macro", "local", "d", "bücher", "limit", "silent", "missing"}
	for _, d := range domains {
		for _, ip := range []string{"192.0.2.1", "192.0.2.7", "192.0.2.9", "192.0.2.26", "198.51.100.1", "2001:db8::1"} {
			q := spf.Request{IP: netip.MustParseAddr(ip), Helo: "h.test", Sender: "a-b@" + d + ".test"}
			want := (&spf.Checker{Resolver: &asked{Resolver: z}}).Check(t.Context(), q)
			ledger := resolver.NewLedger(t.Context(), &asked{Resolver: z}, resolver.Budget{})
			if got := (&spf.Checker{Resolver: ledger}).Check(t.Context(), q); !reflect.DeepEqual(got, want) {
				t.Errorf("%s from %s, by a ledger: got %+v, want %+v", d, ip, got, want)
			}
			ledger.Close()
		}
	}
}

// TestExploreMX: every host of an mx authorizes, in both families; more than ten are a
// permerror of the record (RFC 7208 §4.6.4).
func TestExploreMX(t *testing.T) {
	c := zoneChecker(t, `m.test. TXT "v=spf1 mx/24//64 mx:many.test mx:null.test exists:e.test include:loop.test -all"
loop.test. TXT "v=spf1 include:m.test -all"
m.test. MX 10 h.test.
h.test. A 192.0.2.7
h.test. AAAA 2001:db8::7
null.test. MX 0 .
; FAULT e.test A SERVFAIL
`+repeat(11, "many.test. MX %[1]d h%[1]d.test.\n"))
	tree := c.Explore(t.Context(), "m.test")
	terms := tree.Root.Terms
	if len(terms) != 6 || len(terms[0].Addresses) != 2 || terms[0].Addresses[0].String() != "192.0.2.0/24" || terms[0].Addresses[1].String() != "2001:db8::/64" {
		t.Fatalf("got %+v", terms)
	}
	for i, problem := range []bool{false, true, false, true} {
		if (terms[i].Problem != "") != problem {
			t.Errorf("%s: problem %q", terms[i].Text, terms[i].Problem)
		}
	}
	loop := terms[4].Child.Terms[0].Child
	if loop.Code != spf.PermError || loop.Reason != spf.TooManyLookups || loop.Problem == "" {
		t.Errorf("a record that leads back to itself: %+v", loop)
	}
	if got := c.Explore(t.Context(), "gone.test").Root; got.Code != spf.None || got.Reason != spf.NoRecord {
		t.Errorf("no record: %+v", got)
	}
}
