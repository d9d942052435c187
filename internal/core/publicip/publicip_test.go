package publicip

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
	"testing"
)

type row struct {
	block netip.Prefix
	want  string
}

// rows reads the registries.
func rows(t *testing.T) []row {
	t.Helper()
	f, err := os.Open("testdata/special-purpose.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []row
	for s := bufio.NewScanner(f); s.Scan(); {
		if words := strings.Fields(s.Text()); !strings.HasPrefix(s.Text(), "#") {
			list = append(list, row{netip.MustParsePrefix(words[0]), words[1]})
		}
	}
	return list
}

// edges are the first and the last address of p, and one in the middle.
func edges(p netip.Prefix) []netip.Addr {
	last, middle := p.Addr().As16(), p.Addr().As16()
	from := p.Bits() + 128 - p.Addr().BitLen()
	for i := from; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	if from < 128 {
		middle[from/8] |= 0x80 >> (from % 8)
	}
	list := []netip.Addr{p.Addr(), netip.AddrFrom16(middle), netip.AddrFrom16(last)}
	if p.Addr().Is4() {
		list[1], list[2] = list[1].Unmap(), list[2].Unmap()
	}
	return list
}

// TestRegistry: each row of the registries decides about the addresses that no narrower row
// holds, in each form that they can be written in.
func TestRegistry(t *testing.T) {
	all := rows(t)
	if len(all) != len(blocks)-2 {
		t.Errorf("%d rows, and %d blocks", len(all), len(blocks)-2)
	}
	for _, r := range all {
		t.Run(r.block.String(), func(t *testing.T) {
			for _, ip := range edges(r.block) {
				if r.want == "inside" || narrower(all, r.block, ip) {
					continue
				}
				if got := Is(ip); got != (r.want == "yes") {
					t.Errorf("Is(%s) = %v, want %s", ip, got, r.want)
				}
				if !ip.Is4() {
					continue
				}
				for form, in := range forms(ip) {
					if got := Is(in); got != (r.want == "yes") {
						t.Errorf("%s: Is(%s) = %v, want %s", form, in, got, r.want)
					}
				}
			}
		})
	}
}

func narrower(all []row, p netip.Prefix, ip netip.Addr) bool {
	for _, r := range all {
		if r.block.Bits() > p.Bits() && r.block.Contains(ip) {
			return true
		}
	}
	return false
}

// forms are the IPv6 addresses that lead to an IPv4 address.
func forms(ip netip.Addr) map[string]netip.Addr {
	v4 := ip.As4()
	nat64 := netip.MustParseAddr("64:ff9b::").As16()
	copy(nat64[12:], v4[:])
	sixToFour := netip.MustParseAddr("2002::1").As16()
	copy(sixToFour[2:], v4[:])
	return map[string]netip.Addr{"mapped": netip.AddrFrom16(ip.As16()), "NAT64": netip.AddrFrom16(nat64), "6to4": netip.AddrFrom16(sixToFour)}
}

func TestIs(t *testing.T) {
	for _, test := range []struct {
		ip   string
		want bool
	}{
		{"8.8.8.8", true}, {"100.63.255.255", true}, {"100.128.0.0", true}, {"198.17.255.255", true}, {"198.20.0.0", true}, {"223.255.255.255", true},
		{"2a00:1450:4001::1", true}, {"2606:4700::1111", true}, {"64:ff9b::808:808", true}, {"2002:808:808::1", true},
		{"64:ff9b::a00:1", false}, {"64:ff9b:1::808:808", false}, {"2001:0:808:808::1", false}, {"::8.8.8.8", false},
		{"4000::1", false}, {"fe80::1%eth0", false}, {"2a00:1450:4001::1%eth0", false}, {"169.254.169.254", false}, {"::ffff:169.254.169.254", false},
	} {
		if got := Is(netip.MustParseAddr(test.ip)); got != test.want {
			t.Errorf("Is(%s) = %v, want %v", test.ip, got, test.want)
		}
	}
	if Is(netip.Addr{}) {
		t.Error("the zero Addr is public")
	}
}
