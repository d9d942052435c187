package dnstest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// A Zone answers without a network.
func Example() {
	dns, err := dnstest.Parse(`
acme.test. 300 MX 10 mx.acme.test.
; FAULT broken.test ANY SERVFAIL
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	mx, err := dns.Lookup(ctx, "acme.test", resolver.MX)
	fmt.Println(mx.Records[0].Preference, mx.Records[0].Target, mx.TTL, err)
	txt, err := dns.Lookup(ctx, "acme.test", resolver.TXT)
	fmt.Println(len(txt.Records), txt.NXDomain, err)
	_, err = dns.Lookup(ctx, "broken.test", resolver.TXT)
	fmt.Println(resolver.KindOf(err))
	// Output:
	// 10 mx.acme.test 5m0s <nil>
	// 0 false <nil>
	// servfail
}

// TestErrors: what cannot be read is an error, and no Zone.
func TestErrors(t *testing.T) {
	if z, err := dnstest.Parse("acme.test. 300 A x"); z != nil || err == nil {
		t.Errorf("%v, %v", z, err)
	}
	if z, err := dnstest.ParseFiles(filepath.Join(t.TempDir(), "missing")); z != nil || err == nil {
		t.Errorf("%v, %v", z, err)
	}
}

// TestZeroZone: a Zone that was not parsed has no names, and can be served.
func TestZeroZone(t *testing.T) {
	var z dnstest.Zone
	a, err := z.Lookup(t.Context(), "acme.test", resolver.TXT)
	if err != nil || !a.NXDomain {
		t.Errorf("Lookup: %+v, %v, want NXDOMAIN", a, err)
	}
	s, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
