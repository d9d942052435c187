package spftree_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postseal/internal/core/spftree"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

func TestExplore(t *testing.T) {
	z, err := dnstest.Parse(`$TTL 300
void3.test. TXT "v=spf1 a:v1.test a:v2.test exists:v3.test -all"
limit.test. TXT "v=spf1 include:l1.test include:l2.test -all"
l1.test.           TXT "v=spf1 a:h1.test a:h2.test a:h1.test a:h2.test -all"
l2.test.           TXT "v=spf1 a:h1.test a:h2.test a:h1.test a:h2.test a:h1.test -all"
`)
	if err != nil {
		t.Fatal(err)
	}
	tree := spftree.Explore(t.Context(), z, "limit.test")
	if tree.Lookups != 11 || len(tree.Root.Terms) != 3 || tree.Root.Terms[1].Lookup != 6 || tree.Root.Terms[1].Child.Terms[4].Lookup != 11 {
		t.Errorf("got %d lookups, %+v", tree.Lookups, tree.Root.Terms)
	}
	if tree := spftree.Explore(t.Context(), z, "void3.test"); tree.VoidLookups != 3 {
		t.Errorf("got %d voids, want 3", tree.VoidLookups)
	}
}

// TestExploreAgrees: what a tree counts, a check counts. A client that nothing matches
// pays for every term; limits are far away.
func TestExploreAgrees(t *testing.T) {
	z, err := dnstest.Parse(`$TTL 60
one.test. TXT "v=spf1 a mx a:gone.test include:two.test ip4:192.0.2.1 exists:no.test ?all a:never.test"
one.test. A 198.51.100.1
two.test. TXT "v=spf1 a:gone2.test ip4:192.0.2.0/24 redirect=three.test"
three.test. TXT "v=spf1 mx:gone3.test a:v4.test a:v6.test"
v4.test. A 198.51.100.2
v6.test. AAAA 2001:db8:1::1
`)
	if err != nil {
		t.Fatal(err)
	}
	limits := spf.Limits{Lookups: 100, VoidLookups: 100}
	for _, name := range []string{"one.test", "two.test", "three.test"} {
		c := &spf.Checker{Resolver: z, Limits: limits}
		tree := spftree.Explore(t.Context(), z, name)
		v4 := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("203.0.113.9"), Sender: "x@" + name})
		v6 := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("2001:db8:9::9"), Sender: "x@" + name})
		if tree.Lookups != v4.Lookups || tree.Lookups != v6.Lookups || tree.Voids4 != v4.VoidLookups || tree.Voids6 != v6.VoidLookups {
			t.Errorf("%s: tree %d lookups, %d and %d voids; IPv4 check %d, %d; IPv6 check %d, %d", name, tree.Lookups, tree.Voids4, tree.Voids6,
				v4.Lookups, v4.VoidLookups, v6.Lookups, v6.VoidLookups)
		}
	}
}

// TestExploreMX: every host of an mx authorizes, in both families; more than ten are a
// permerror of the record (RFC 7208 §4.6.4).
func TestExploreMX(t *testing.T) {
	var many strings.Builder
	for i := 1; i <= 11; i++ {
		fmt.Fprintf(&many, "many.test. MX %d h%d.test.\n", i, i)
	}
	z, err := dnstest.Parse(`$TTL 300
m.test. TXT "v=spf1 mx/24//64 mx:many.test mx:null.test exists:e.test include:loop.test -all"
loop.test. TXT "v=spf1 include:m.test -all"
m.test. MX 10 h.test.
h.test. A 192.0.2.7
h.test. AAAA 2001:db8::7
null.test. MX 0 .
; FAULT e.test A SERVFAIL
` + many.String())
	if err != nil {
		t.Fatal(err)
	}
	tree := spftree.Explore(t.Context(), z, "m.test")
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
	if got := spftree.Explore(t.Context(), z, "gone.test").Root; got.Code != spf.None || got.Reason != spf.NoRecord {
		t.Errorf("no record: %+v", got)
	}
}
