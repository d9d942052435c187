package clients

import (
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	n := NewNetworks(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/32"))
	for ip, want := range map[string]bool{"192.0.2.9": true, "::ffff:192.0.2.9": true, "192.0.3.1": false,
		"2001:db8:9::1": true, "2001:db8:9::1%eth0": true, "2001:db9::1": false} {
		if got := n.Contains(netip.MustParseAddr(ip)); got != want {
			t.Errorf("Contains(%s) = %v, want %v", ip, got, want)
		}
	}
	var none Networks
	if none.Contains(netip.MustParseAddr("192.0.2.9")) || n.Contains(netip.Addr{}) {
		t.Error("the empty set, or no address: want false")
	}
}
