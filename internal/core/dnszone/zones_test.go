package dnszone_test

import (
	"testing"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
)

// TestDNAME: every name below the owner is an alias, the owner is not (RFC 6672 §2.3).
func TestDNAME(t *testing.T) {
	z, err := dnszone.Parse("$TTL 60\na.test. TXT \"own\"\nold.a.test. DNAME new.test.\nold.a.test. TXT \"owner\"\nx.y.new.test. TXT \"moved\"\nx.old.a.test. TXT \"occluded\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, canonical string }{
		{"x.y.old.a.test", "moved", "x.y.new.test"}, {"old.a.test", "owner", "old.a.test"}, {"a.test", "own", "a.test"}, {"x.old.a.test", "", "x.new.test"},
	} {
		a, err := z.Lookup(t.Context(), test.name, resolver.TXT)
		if err != nil || a.Canonical != test.canonical || (len(a.Records) > 0) != (test.text != "") || test.text != "" && a.Records[0].Text != test.text {
			t.Errorf("%s: got %+v, %v", test.name, a, err)
		}
	}
	s, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
}

// TestHolds: what a text answers for.
func TestHolds(t *testing.T) {
	for _, test := range []struct {
		text string
		in   []string
		out  []string
	}{
		{"a.test. SOA ns. x. 1 2 3 4 5\na.test. TXT \"x\"\nother.test. A 192.0.2.1\n", []string{"a.test", "B.A.test.", "other.test"}, []string{"test", "b.other.test", "com"}},
		{"x.a.test. TXT \"x\"\nb.co.uk. TXT \"x\"\n", []string{"a.test", "y.a.test", "x.a.test", "z.b.co.uk"}, []string{"c.co.uk", "c.test", "_spf.google.com"}},
		{"", nil, []string{"a.test"}},
	} {
		z, err := dnszone.Parse("$TTL 60\n" + test.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range test.in {
			if !z.Holds(name) {
				t.Errorf("%q does not hold %s", test.text, name)
			}
		}
		for _, name := range test.out {
			if z.Holds(name) {
				t.Errorf("%q holds %s", test.text, name)
			}
		}
	}
}
